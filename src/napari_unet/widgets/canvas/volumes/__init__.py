"""Volumes on the canvas: what their layers say, what is proposed between slices, errors in 3D."""
