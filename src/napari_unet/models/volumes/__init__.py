"""Volumes as networks are fed them."""
