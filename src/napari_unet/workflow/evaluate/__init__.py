"""Score models and masks, compare them, write reports and submissions."""
