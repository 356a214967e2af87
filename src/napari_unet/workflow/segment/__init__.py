"""Segment images with a model."""
