"""The masks of all slices of a stack in one layer."""
