"""Cross entropy of a yes or no, which every loss on sigmoid logits is made of."""

from __future__ import annotations

from typing import Any


def sigmoid_cross_entropy(wanted: Any, logits: Any) -> Any:
    """Cross entropy of yes or no, element by element.

    Parameters
    ----------
    wanted : tensor
        (...) float32 in [0, 1].
    logits : tensor
        (...) float32, of any size.

    Returns
    -------
    tensor
        (...) float32, 0 or more.

    Notes
    -----
    -z log p - (1 - z) log(1 - p) with p = sigmoid(x), as max(x, 0) - x z + log(1 + exp(-|x|)), which never
    overflows.
    """
    from keras import ops

    return ops.relu(logits) - logits * wanted + ops.log1p(ops.exp(-ops.abs(logits)))
