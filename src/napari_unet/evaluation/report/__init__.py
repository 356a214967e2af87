"""From scores to pages and tables that a person reads."""
