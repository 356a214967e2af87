"""The images of the viewer: which layer shows which, its channels, and what is in view."""
