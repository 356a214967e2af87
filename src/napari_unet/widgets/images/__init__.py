"""The step Images: the table of what is open."""
