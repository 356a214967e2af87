"""The computing process at the other end of a command: the same tasks and messages, framed."""
