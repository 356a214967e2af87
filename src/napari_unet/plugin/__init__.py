"""What the napari manifest names."""
