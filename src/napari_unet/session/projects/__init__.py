"""The project that corrections go to, and those of before."""
