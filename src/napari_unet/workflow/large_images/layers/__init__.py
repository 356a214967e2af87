"""Masks of large images that a window shows: made, painted, measured."""
