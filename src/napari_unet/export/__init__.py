"""Masks and reports written to files."""
