"""The images that are open."""
