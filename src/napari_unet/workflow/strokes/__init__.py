"""Learning from strokes: a first model from a few painted pixels."""
