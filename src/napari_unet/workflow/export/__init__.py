"""Write masks and models for other programs."""
