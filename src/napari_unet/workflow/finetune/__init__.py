"""Learn from corrections, and judge whether that helped."""
