"""Outlines that people drew in other programs, and masks out of them."""
