"""From an image and a model to probabilities and a mask."""
