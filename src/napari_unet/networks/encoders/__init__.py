"""Published encoders, whose weights a network may start from."""
