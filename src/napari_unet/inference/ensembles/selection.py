"""Which models of several are averaged, and with which weights, by images that none was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ROUNDS = 24
TO_ONE = 1e3  # how strictly weights must make 1 together, before they are divided by their sum


def greedy_weights(
    count: int, score: Callable[[NDArray[np.float64]], float], rounds: int = ROUNDS
) -> tuple[NDArray[np.float64], float]:
    """Add models one after another, the same again too, each time the one that helps the average most.

    Parameters
    ----------
    count : int
        Models, at least 1.
    score : callable
        (weights that make 1 together) -> score of that average, higher is better.
    rounds : int
        Models that are added at most.

    Returns
    -------
    weights : numpy.ndarray
        (count,) float64, multiples of one over the models added; those of the best round.
    score : float
        Of them.

    Notes
    -----
    Forward selection with replacement from the empty set, of which the best round is taken: Caruana et al.
    2004, doi:10.1145/1015330.1015432. Of equal models the first is added.
    """
    taken = np.zeros(count)
    best, best_score = taken, -np.inf
    for number in range(1, rounds + 1):
        scores = [score((taken + np.eye(count)[i]) / number) for i in range(count)]
        chosen = int(np.argmax(scores))
        taken = taken + np.eye(count)[chosen]
        if scores[chosen] > best_score:
            best, best_score = taken / number, scores[chosen]
    return best, float(best_score)


class SquaredError:
    """Sums from which the weights with the smallest squared error follow; images are added one by one.

    Parameters
    ----------
    count : int
        Models.
    """

    def __init__(self, count: int) -> None:
        self.products = np.zeros((count, count))
        self.with_truth = np.zeros(count)

    def add(self, answers: NDArray[np.float32], truth: NDArray[np.float32]) -> None:
        """Take pixels.

        Parameters
        ----------
        answers : numpy.ndarray
            (M, P) float32 probabilities, one row a model.
        truth : numpy.ndarray
            (P,) float32, 0 or 1.
        """
        wide = answers.astype(np.float64)
        self.products += wide @ wide.T
        self.with_truth += wide @ truth.astype(np.float64)

    def weights(self) -> NDArray[np.float64]:
        """(M,) float64, none below 0, 1 together: those whose average has the smallest squared error.

        Notes
        -----
        Brier's score of the averaged probabilities, minimized by non-negative least squares with one more,
        heavy equation for the sum (Lawson, Hanson 1974; Breiman 1996, doi:10.1007/BF00117832).
        """
        from scipy.optimize import nnls

        count = len(self.with_truth)
        scale = max(float(np.trace(self.products)) / count, 1e-12)
        # A little on the diagonal lets models that say the same share their weight.
        root = np.linalg.cholesky(self.products / scale + 1e-9 * np.eye(count))
        aim = np.linalg.solve(root, self.with_truth / scale)
        found, _ = nnls(np.vstack([root.T, np.full((1, count), TO_ONE)]), np.concatenate([aim, [TO_ONE]]))
        total = found.sum()
        return np.asarray(found / total if total > 0 else np.full(count, 1 / count), np.float64)
