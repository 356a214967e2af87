"""Which images need a person first."""
