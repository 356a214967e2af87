"""From the bytes of one file to pixels: pictures, TIFF, microscopes."""
