"""Small pieces that every step of the dock uses."""
