"""Record a run and repeat it."""
