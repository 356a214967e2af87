"""U-Net Workbench: segment images with U-Nets, correct the masks, and trust the scores."""

__version__ = "0.1.0"
