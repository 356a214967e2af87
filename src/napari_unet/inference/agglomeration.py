"""Fragments of objects are joined where the network sees no border between them."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Contacts = list[dict[int, tuple[float, int]]]  # of each fragment: neighbour to (sum, faces)


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
        Of that shape, uint8: the class of every pixel, one in all of a fragment. Fragments of two classes
        are not joined.
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
    The pair with the highest mean comes first, and after each join the means of what was joined are worked
    out again: agglomeration by average linkage (Bailoni et al. 2022, doi:10.1109/CVPR52688.2022.01136; for
    neurons Nunez-Iglesias et al. 2013, doi:10.1371/journal.pone.0071715).
    """
    count = int(fragments.max(initial=0))
    if count < 2:
        return fragments.astype(np.int32)
    last = probabilities.shape[-1]
    place = np.clip(mask.astype(np.intp), 1, last)[..., None] - 1
    inside = np.take_along_axis(probabilities, place, axis=-1)[..., 0]
    parents = _join(_contacts(fragments, mask, inside, count), least)
    _, numbers = np.unique(parents, return_inverse=True)
    return np.asarray(numbers[fragments], np.int32)


def _contacts(
    fragments: NDArray[np.integer], mask: NDArray[np.uint8], inside: NDArray[np.float32], count: int
) -> Contacts:
    """Which fragments touch: the sum of what their common faces count, and the number of those."""
    keys, values = [], []
    for axis in range(fragments.ndim):
        before = tuple(slice(None, -1) if n == axis else slice(None) for n in range(fragments.ndim))
        behind = tuple(slice(1, None) if n == axis else slice(None) for n in range(fragments.ndim))
        one, other = fragments[before], fragments[behind]
        touch = (one != other) & (one > 0) & (other > 0) & (mask[before] == mask[behind])
        low, high = np.minimum(one[touch], other[touch]), np.maximum(one[touch], other[touch])
        keys.append(low.astype(np.int64) * (count + 1) + high)
        values.append(np.minimum(inside[before][touch], inside[behind][touch]))
    pairs, of_pair = np.unique(np.concatenate(keys), return_inverse=True)
    sums = np.bincount(of_pair, np.concatenate(values))
    faces = np.bincount(of_pair)
    contacts: Contacts = [{} for _ in range(count + 1)]
    for pair, total, number in zip(pairs.tolist(), sums.tolist(), faces.tolist(), strict=True):
        low, high = divmod(pair, count + 1)
        contacts[low][high] = contacts[high][low] = (total, number)
    return contacts


def _join(contacts: Contacts, least: float) -> NDArray[np.intp]:
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
