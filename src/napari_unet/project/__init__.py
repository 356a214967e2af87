"""A project on disk: images, corrections and their journal, versions of the model."""
