"""Mask R-CNN: objects instead of pixels."""
