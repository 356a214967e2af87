"""What a person does, in order; no Qt, no napari, no Keras at import."""
