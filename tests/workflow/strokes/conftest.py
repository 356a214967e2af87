"""What the tests of this folder share."""

from support.weights import changed_weights_are_told

__all__ = ["changed_weights_are_told"]
