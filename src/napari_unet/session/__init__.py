"""What is open in the window, without a window; no Qt, no napari."""
