"""The masks of images that are larger than memory."""
