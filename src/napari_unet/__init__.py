"""U-Net Workbench: segment images with U-Nets, correct the masks, and trust the scores."""

__version__ = "0.1.0"
PROGRAM = f"napari-unet-workbench {__version__}"  # as files and reports name it
