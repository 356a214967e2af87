"""From masks to scores and reports."""
