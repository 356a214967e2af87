"""Learning from corrections in the background."""
