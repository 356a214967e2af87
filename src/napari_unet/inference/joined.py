"""Connected pieces of a mask that is never held whole: found part by part, joined where parts touch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.inference.object_classes import ObjectClasses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    PieceNumber = tuple[int, int]  # row and column of a part


@dataclass(frozen=True, eq=False)
class PartPieces:
    """The pieces within one part of a mask.

    Attributes
    ----------
    areas : numpy.ndarray
        (N,) int64, pixels of the pieces 1..N.
    classes : numpy.ndarray
        (N,) uint8, their classes.
    edges : tuple of numpy.ndarray
        Numbers of the pieces along the first and last row, the first and last column; 0 is background.
    votes : numpy.ndarray or None
        (N, K) float64, how far the pixels of each piece speak for each class; None unless pieces are of any
        class, see ``look_at_any_class``.
    deep : numpy.ndarray or None
        (N,) bool, whether a pixel of the piece is deep; None where nobody asks.
    """

    areas: NDArray[np.int64]
    classes: NDArray[np.uint8]
    edges: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
    votes: NDArray[np.float64] | None = None
    deep: NDArray[np.bool_] | None = None


def number_part(mask: NDArray[np.uint8], *, corners: bool = True) -> tuple[NDArray[np.int32], int]:
    """Number the pieces of a part: connected over edges and corners, of one class.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background, 1..K.
    corners : bool
        Whether they connect over corners.

    Returns
    -------
    numbers : numpy.ndarray
        (Y, X) int32, 0 background.
    count : int
        Of pieces.
    """
    import cv2

    numbers = np.zeros(mask.shape, np.int32)
    count = 0
    for label in np.unique(mask[mask > 0]):
        inside = (mask == label).astype(np.uint8)
        found, pieces = cv2.connectedComponents(inside, connectivity=8 if corners else 4, ltype=cv2.CV_32S)
        np.add(pieces, count, out=numbers, where=pieces > 0)
        count += found - 1
    return numbers, count


def look_at_part(
    mask: NDArray[np.uint8], deep: NDArray[np.bool_] | None = None, *, corners: bool = True
) -> PartPieces:
    """What of a part has to be known to join it with others.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8.
    deep : numpy.ndarray, optional
        (Y, X) bool: a piece without such a pixel is a speck.
    corners : bool
        Whether pieces connect over corners.
    """
    numbers, count = number_part(mask, corners=corners)
    pieces = pieces_of_part(mask, numbers, count)
    if deep is None:
        return pieces
    found = np.zeros(count + 1, bool)
    found[numbers[deep]] = True
    return replace(pieces, deep=found[1:])


def pieces_of_part(mask: NDArray[np.uint8], numbers: NDArray[np.int32], count: int) -> PartPieces:
    """As ``look_at_part``, of pieces that are numbered already, by ``number_part``."""
    areas = np.bincount(numbers.ravel(), minlength=count + 1)[1:].astype(np.int64)
    classes = np.zeros(count + 1, np.uint8)
    classes[numbers.ravel()] = mask.ravel()
    edges = tuple(np.array(edge) for edge in (numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]))
    return PartPieces(areas, classes[1:], edges)  # type: ignore[arg-type]


def look_at_any_class(
    mask: NDArray[np.uint8], probabilities: NDArray[np.integer], deep: NDArray[np.bool_] | None = None
) -> PartPieces:
    """As ``look_at_part``, with pieces of any class, and what speaks for the class of each.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, 0 background; all else is foreground.
    probabilities : numpy.ndarray
        (K, Y, X) uint8, 255 is 1.
    deep : numpy.ndarray, optional
        As ``look_at_part`` takes it.
    """
    foreground = (mask > 0).astype(np.uint8)
    numbers, count = number_part(foreground)
    places = numbers.ravel()
    votes = [np.bincount(places, one.ravel(), minlength=count + 1)[1:] for one in probabilities]
    return replace(look_at_part(foreground, deep), votes=np.stack(votes, axis=1))


@dataclass(eq=False)
class JoinedPieces:
    """Pieces of a whole mask, by the numbers they have in its parts.

    Attributes
    ----------
    areas : mapping
        Place of a part to (N + 1,) int64: for each of its pieces the pixels of the whole; 0 for background
        and specks.
    numbers : mapping
        Place of a part to (N + 1,) int64: for each of its pieces the number of the whole, from 1; 0 for
        background.
    count : int
        Of whole pieces.
    classes : numpy.ndarray
        (count + 1,) uint8, class of each whole piece by its number; 0 for background. Of pieces of any class
        the one that most speaks for; of equal ones the first.
    tied : numpy.ndarray
        (count + 1,) bool, whole pieces that may as well be of another class.
    """

    areas: dict[PieceNumber, NDArray[np.int64]] = field(default_factory=dict)
    numbers: dict[PieceNumber, NDArray[np.int64]] = field(default_factory=dict)
    count: int = 0
    classes: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(1, np.uint8))
    tied: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(1, bool))

    def classes_in(self, place: PieceNumber) -> NDArray[np.uint8]:
        """(N + 1,) uint8, for each piece of a part the class of the whole; 0 for background."""
        return np.asarray(self.classes[self.numbers[place]])

    def kept_numbers(self, minimum_size: int) -> dict[PieceNumber, NDArray[np.uint32]]:
        """Numbers of the whole pieces that are large enough, 1..M without a gap, by those in the parts.

        Parameters
        ----------
        minimum_size : int
            In pixels of the whole.

        Returns
        -------
        dict
            Place of a part to (N + 1,) uint32; 0 for background and what is dropped.
        """
        large = self.large(minimum_size)
        fresh = np.where(large, np.cumsum(large), 0).astype(np.uint32)
        return {place: fresh[own] for place, own in self.numbers.items()}

    def large(self, minimum_size: int) -> NDArray[np.bool_]:
        """(count + 1,) bool: the whole pieces with at least so many pixels."""
        large = np.zeros(self.count + 1, bool)
        for place, own in self.numbers.items():
            large[own] = self.areas[place] >= max(minimum_size, 1)
        large[0] = False
        return large


def join(parts: Mapping[PieceNumber, PartPieces], *, corners: bool = True) -> JoinedPieces:
    """Join what touches over the edges and corners of parts, and is of one class.

    Parameters
    ----------
    parts : mapping
        (row, column) to the part, of a full grid; parts of a row are equally high, those of a column equally
        wide.
    corners : bool
        Whether pieces connect over corners.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    first: dict[PieceNumber, int] = {}
    total = 0
    for place in sorted(parts):
        first[place] = total
        total += len(parts[place].areas)
    if not total:
        empty = {place: np.zeros(1, np.int64) for place in parts}
        return JoinedPieces(empty, dict(empty), 0)
    classes = np.concatenate([parts[place].classes for place in sorted(parts)])
    pairs = [pair for place in parts for pair in _touching(parts, place, first, corners)]
    touching = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), np.int64)
    touching = touching[:, classes[touching[0]] == classes[touching[1]]]
    graph = sparse.coo_array((np.ones(touching.shape[1], bool), touching), shape=(total, total))
    count, belongs = connected_components(graph, directed=False)
    # Numbered in the order in which they are met, which does not depend on how they were found.
    order = np.unique(belongs, return_index=True)[1].argsort().argsort()
    numbers = order[belongs] + 1
    areas = np.bincount(numbers, np.concatenate([parts[p].areas for p in sorted(parts)]), count + 1)
    if all(part.deep is not None for part in parts.values()):
        deep = np.concatenate([parts[p].deep for p in sorted(parts)])
        areas[np.bincount(numbers, deep, count + 1) == 0] = 0
    joined = JoinedPieces(count=int(count), classes=np.zeros(count + 1, np.uint8))
    joined.classes[numbers] = classes
    joined.tied = np.zeros(count + 1, bool)
    if all(part.votes is not None for part in parts.values()):
        own_votes = np.concatenate([parts[p].votes for p in sorted(parts)])
        votes = np.stack([np.bincount(numbers, one, count + 1) for one in own_votes.T], axis=1)
        shares = ObjectClasses.of_votes(votes[1:])
        joined.classes[1:] = shares.labels
        joined.tied[shares.ties] = True
    for place, start in first.items():
        own = np.concatenate([[0], numbers[start : start + len(parts[place].areas)]])
        joined.numbers[place] = own.astype(np.int64)
        joined.areas[place] = np.where(own > 0, areas[own], 0).astype(np.int64)
    return joined


def _touching(
    parts: Mapping[PieceNumber, PartPieces],
    place: PieceNumber,
    first: Mapping[PieceNumber, int],
    corners: bool,
) -> list[NDArray[np.int64]]:
    """Pairs of pieces of a part and of the parts right of, below, and diagonally below it."""
    row, column = place
    _, bottom, left, right = parts[place].edges
    found = []
    for other, ours, theirs in (
        ((row, column + 1), right, 2),
        ((row + 1, column), bottom, 0),
    ):
        if other in parts:
            edge = parts[other].edges[theirs]
            # Straight across, and to either neighbour: pieces connect over corners, too.
            for a, b in ((ours, edge), (ours[1:], edge[:-1]), (ours[:-1], edge[1:]))[: 3 if corners else 1]:
                found.append(_pairs(a, b, first[place], first[other]))
    for other, ours, theirs in (
        ((row + 1, column + 1), right[-1:], 0),
        ((row + 1, column - 1), left[-1:], 1),
    ):
        if corners and other in parts:
            top = parts[other].edges[0]
            found.append(_pairs(ours, top[:1] if theirs == 0 else top[-1:], first[place], first[other]))
    return found


def _pairs(a: NDArray[np.int32], b: NDArray[np.int32], first: int, second: int) -> NDArray[np.int64]:
    both = (a > 0) & (b > 0)
    if not both.any():
        return np.zeros((2, 0), np.int64)
    pairs = np.stack([a[both].astype(np.int64) - 1 + first, b[both].astype(np.int64) - 1 + second])
    return np.unique(pairs, axis=1)


def drop_small(mask: NDArray[np.uint8], areas: NDArray[np.int64], minimum_size: int) -> NDArray[np.uint8]:
    """Drop from a part what belongs to pieces that are small as a whole.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, the part as it was looked at.
    areas : numpy.ndarray
        (N + 1,) int64 of ``JoinedPieces``.
    minimum_size : int
        In pixels.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint8.
    """
    numbers, _ = number_part(mask)
    return np.where(areas[numbers] >= max(minimum_size, 1), mask, np.uint8(0))


def number_objects(mask: NDArray[np.uint8], numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Give the pieces of a part the numbers that they have as wholes.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, the part as it was looked at.
    numbers : numpy.ndarray
        (N + 1,) uint32, by the numbers of the pieces in the part.

    Returns
    -------
    numpy.ndarray
        (Y, X) uint32, 0 background.
    """
    return np.asarray(numbers[number_part(mask)[0]])


def label_pieces(mask: NDArray[np.uint8], labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Give the pieces of a part, of any class, what they are labelled with as wholes.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) uint8, the part as it was looked at by ``look_at_any_class``.
    labels : numpy.ndarray
        (N + 1,) classes or numbers, by the numbers of the pieces in the part.
    """
    return np.asarray(labels[number_part((mask > 0).astype(np.uint8))[0]])
