"""Networks that Keras saved, read as data and rebuilt as our own."""
