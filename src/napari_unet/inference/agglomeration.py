"""Fragments of objects are joined where the network sees no border between them."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Touched = list[dict[int, tuple[float, int]]]  # of each fragment: neighbour to (sum, faces)


SURE = 0.7  # probability above which a pixel is of the core of a fragment
NEAR = 8  # pixels of the mask around sure ones in which what is not sure is of no core
REACH = 1.5  # pixels that fragments grow over what the threshold takes for border, so that they meet there


def over_borders(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask with the thin borders in it: background up to 1.5 pixels from a class is of that class.

    Only there do fragments of two objects meet, and the probabilities between them are low. Of several
    classes the nearest is taken; of equally near ones that which comes first by slice, row and column. So
    a pixel depends on its neighbours alone.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) or (Z, Y, X) uint8, 0 background, 1..K.
    """
    steps = [step for step in product((-1, 0, 1), repeat=mask.ndim) if 0 < sum(map(abs, step)) <= REACH**2]
    wide, padded = mask.copy(), np.pad(mask, 1)
    for step in sorted(steps, key=lambda step: sum(map(abs, step))):
        place = tuple(slice(1 + by, 1 + by + size) for by, size in zip(step, mask.shape, strict=True))
        np.copyto(wide, padded[place], where=wide == 0)
    return wide


def inside_of(mask: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of the class that each pixel has: float32 of the mask's shape.

    Parameters
    ----------
    mask : numpy.ndarray
        (Y, X) or (Z, Y, X) uint8, 0 background, 1..K.
    probabilities : numpy.ndarray
        (..., K) float32 in [0, 1].
    """
    place = np.clip(mask.astype(np.intp), 1, probabilities.shape[-1])[..., None] - 1
    return np.asarray(np.take_along_axis(probabilities, place, axis=-1)[..., 0], np.float32)


def may_be_core(
    inside: NDArray[np.bool_], probability: NDArray[np.float32], sure: float = SURE
) -> NDArray[np.bool_]:
    """Pixels of a class of which fragments are cut: without those next to sure ones that are not sure.

    A weak gap in a membrane is of such pixels, so that two cells are cut apart there. Where the network says
    no and the mask yes a person painted, who is sure, too. What is farther than ``NEAR`` steps within the
    mask from anything sure stays: a cell of which the network is nowhere sure has a core of its own.

    Parameters
    ----------
    inside : numpy.ndarray
        (Y, X) or (Z, Y, X) bool: the class in the mask.
    probability : numpy.ndarray
        Of that shape, float32 in [0, 1]: of the class.
    sure : float
        Probability from which on the network is sure; 0.5: everywhere.

    Returns
    -------
    numpy.ndarray
        Of that shape, bool. A pixel depends on what is at most ``NEAR`` away along each axis.
    """
    from scipy import ndimage

    found = inside & ((probability > sure) | (probability <= 1 - sure))
    around = ndimage.binary_dilation(found, iterations=NEAR, mask=inside)
    return np.asarray(found | (inside & ~around))


@dataclass(frozen=True, eq=False)
class Contacts:
    """Which fragments touch, and what the network says along their common borders.

    Attributes
    ----------
    pairs : numpy.ndarray
        (N, 2) int64, the lower number first, each pair once.
    sums : numpy.ndarray
        (N,) float64: the sum of what the faces of each pair count. It is exact of probabilities that were
        rounded to half precision, so it does not matter in how many parts it is added up.
    faces : numpy.ndarray
        (N,) int64: how many those are.
    """

    pairs: NDArray[np.int64]
    sums: NDArray[np.float64]
    faces: NDArray[np.int64]

    @classmethod
    def of_part(
        cls,
        fragments: NDArray[np.integer],
        mask: NDArray[np.uint8],
        inside: NDArray[np.float32],
        shape: tuple[int, ...] | None = None,
    ) -> Contacts:
        """Look along the borders of a part, and those that it has with the parts behind it.

        Parameters
        ----------
        fragments : numpy.ndarray
            (Y, X) or (Z, Y, X) integers, 0 background. Behind the part along each axis there is one more,
            unless the image ends there.
        mask, inside : numpy.ndarray
            Of that shape: the class of every pixel, and its probability.
        shape : tuple of int, optional
            Of the part itself; else all of it.
        """
        shape = shape or fragments.shape
        lower, upper, counted = [], [], []
        for axis in range(fragments.ndim):
            here = [slice(0, size) for size in shape]
            here[axis] = slice(0, min(shape[axis], fragments.shape[axis] - 1))
            behind = here.copy()
            behind[axis] = slice(1, here[axis].stop + 1)
            before, after = tuple(here), tuple(behind)
            one, other = fragments[before], fragments[after]
            touch = (one != other) & (one > 0) & (other > 0) & (mask[before] == mask[after])
            lower.append(np.minimum(one[touch], other[touch]).astype(np.int64))
            upper.append(np.maximum(one[touch], other[touch]).astype(np.int64))
            counted.append(np.minimum(inside[before][touch], inside[after][touch]).astype(np.float64))
        values = np.concatenate(counted)
        pairs = np.stack([np.concatenate(lower), np.concatenate(upper)], axis=1)
        return cls._added_up(pairs, values, np.ones(len(values), np.int64))

    @classmethod
    def of_parts(cls, parts: Iterable[Contacts]) -> Contacts:
        """Add up what was seen in all parts."""
        every = list(parts)
        return cls._added_up(
            np.concatenate([one.pairs for one in every]),
            np.concatenate([one.sums for one in every]),
            np.concatenate([one.faces for one in every]),
        )

    @classmethod
    def _added_up(
        cls, pairs: NDArray[np.int64], sums: NDArray[np.float64], faces: NDArray[np.int64]
    ) -> Contacts:
        count = int(pairs.max(initial=0)) + 1
        keys, of_key = np.unique(pairs[:, 0] * count + pairs[:, 1], return_inverse=True)
        return cls(
            np.stack([keys // count, keys % count], axis=1),
            np.bincount(of_key, sums, len(keys)).astype(np.float64),
            np.bincount(of_key, faces, len(keys)).astype(np.int64),
        )

    def joined(self, count: int, least: float) -> NDArray[np.int32]:
        """Join fragments whose common border the network takes for the inside of an object.

        Parameters
        ----------
        count : int
            Of fragments.
        least : float
            Mean over the faces of a common border from which on two are one.

        Returns
        -------
        numpy.ndarray
            (count + 1,) int32: number of the object of each, 1..M in the order of the lowest fragments; 0
            for background.
        """
        touched: Touched = [{} for _ in range(count + 1)]
        for (low, high), total, number in zip(
            self.pairs.tolist(), self.sums.tolist(), self.faces.tolist(), strict=True
        ):
            touched[low][high] = touched[high][low] = (total, number)
        _, numbers = np.unique(_join(touched, least), return_inverse=True)
        return np.asarray(numbers, np.int32)


def agglomerate(
    fragments: NDArray[np.integer],
    mask: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    least: float,
) -> NDArray[np.int32]:
    """Join fragments whose common border the network takes for the inside of an object.

    Parameters
    ----------
    fragments : numpy.ndarray
        (Y, X) or (Z, Y, X) integers, 0 background, 1..N.
    mask : numpy.ndarray
        Of that shape, uint8: the class of every pixel, one in all of a fragment, as ``over_borders`` gives
        it. Fragments of two classes are not joined.
    probabilities : numpy.ndarray
        (..., K) float32 in [0, 1], of the classes.
    least : float
        Two fragments are joined if the mean over the faces of their common border is at least this. A face
        counts with the lower probability of the two pixels at it.

    Returns
    -------
    numpy.ndarray
        int32, 0 background, 1..M without gaps, in the order of the lowest fragments.

    Notes
    -----
    The pair with the highest mean comes first, of equal ones that with the lowest numbers. After each join
    the means of what was joined are worked out again: agglomeration by average linkage (Bailoni et al. 2022,
    doi:10.1109/CVPR52688.2022.01136; for neurons Nunez-Iglesias et al. 2013,
    doi:10.1371/journal.pone.0071715).
    """
    contacts = Contacts.of_part(fragments, mask, inside_of(mask, probabilities))
    return np.asarray(contacts.joined(int(fragments.max(initial=0)), least)[fragments])


def _join(contacts: Touched, least: float) -> NDArray[np.intp]:
    """What each fragment is joined to: the lowest number of its object."""
    parents = np.arange(len(contacts))
    waiting = [
        (-total / faces, one, other)
        for one, touched in enumerate(contacts)
        for other, (total, faces) in touched.items()
        if one < other
    ]
    heapq.heapify(waiting)
    while waiting:
        mean, one, other = heapq.heappop(waiting)
        if -mean < least:
            break
        # Pairs that were joined meanwhile, or whose mean is another now, are in the heap once more.
        total, faces = contacts[one].get(other, (0.0, 1))
        if parents[one] != one or parents[other] != other or -total / faces != mean:
            continue
        parents[other] = one
        del contacts[one][other]
        for third, (total, faces) in contacts[other].items():
            if third == one:
                continue
            before = contacts[one].get(third, (0.0, 0))
            both = total + before[0], faces + before[1]
            contacts[one][third] = contacts[third][one] = both
            del contacts[third][other]
            heapq.heappush(waiting, (-both[0] / both[1], min(one, third), max(one, third)))
        contacts[other] = {}
    for number in range(len(parents)):  # joined to a lower number, whose parent is known already
        parents[number] = parents[parents[number]]
    return parents
