"""What tasks take in: images by reference, labelled images, masks from elsewhere."""
