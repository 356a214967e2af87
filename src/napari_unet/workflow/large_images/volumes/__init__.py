"""Volumes that are never in memory as a whole."""
