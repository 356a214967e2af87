"""Patches on their way into a network: cut, augmented, weighted, batched."""
