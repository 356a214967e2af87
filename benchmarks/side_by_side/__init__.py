"""One network by several programs, side by side."""
