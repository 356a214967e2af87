"""Parts of ``annotation_economy.py``."""
