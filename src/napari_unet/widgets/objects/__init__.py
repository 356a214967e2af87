"""Counting, measuring and mending single objects."""
