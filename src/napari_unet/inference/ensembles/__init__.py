"""Several opinions of one image: their mean and spread, and which of them to ask."""
