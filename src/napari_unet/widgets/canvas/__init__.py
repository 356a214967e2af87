"""What napari shows: layers, overlays, the mask that is painted on."""
