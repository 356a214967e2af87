"""Train a model on labelled images."""
