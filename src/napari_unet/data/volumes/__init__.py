"""Volumes: slices that lie one behind another, their voxels, and how they are split."""
