"""Orders in which images may be offered: what was reported to beat random order, and attempts of ours.

``representative``
    Three of five images stand for many that are wrong, two are drawn at random (economy/representative.py).
``strata``
    Equal numbers of images with little, some and much predicted foreground. In each stratum the least
    certain first, with noise that fades over the rounds: class-stratified sampling with power noise, as in
    arXiv:2601.13677, for whole images instead of patches.
``foreground``
    At random among the images of which the model takes 2 to 98 % for foreground, then the others.
``core-set``
    The image whose features are farthest from those of all images that teach (Sener, Savarese 2018,
    arXiv:1708.00489).
``typical``
    The most typical image of each of the largest clusters of features that have no corrected image yet
    (Hacohen et al. 2022, arXiv:2202.02794).

Features are means over the last level of EfficientNet-Lite0, as it comes with the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from economy.representative import FOREGROUND, appearances, representative
from napari_unet.settings import NetworkSettings
from napari_unet.workflow.review.quality_estimate import agreement_of_members, calibrate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from economy.case import Case
    from economy.representative import Appearance
    from napari_unet.data.sample import Sample
    from napari_unet.models.model import Model
    from napari_unet.workflow.review.quality_estimate import MemberAgreement

ORDERS = ("representative", "strata", "foreground", "core-set", "typical")
LITTLE, MUCH = 0.02, 0.5  # shares of foreground between the strata
SHARPENS = 2.0  # power of the uncertainty in the first round; it grows by as much each round
SIDE = 128  # pixels of an image whose features are computed
NEIGHBOURS = 20  # whose distance says how typical an image is


def by_strata(
    found: Sequence[MemberAgreement],
    looks: Mapping[str, Appearance],
    round_number: int,
    rng: np.random.Generator,
) -> list[str]:
    """Ids, one of each stratum in turn."""
    strata: list[list[MemberAgreement]] = [[], [], []]
    for one in found:
        share = looks[one.id][FOREGROUND]
        strata[int(share > LITTLE) + int(share > MUCH)].append(one)
    orders = []
    for stratum in strata:
        doubt = np.array([max(1e-6, 1 - one.raw) for one in stratum])
        # The largest of power * log(doubt) + Gumbel noise: a draw in proportion to doubt ** power.
        keys = SHARPENS * round_number * np.log(doubt) + rng.gumbel(size=len(stratum))
        orders.append([stratum[n].id for n in np.argsort(-keys)])
    longest = max(map(len, orders))
    return [order[place] for place in range(longest) for order in orders if place < len(order)]


def by_foreground(looks: Mapping[str, Appearance], rng: np.random.Generator) -> list[str]:
    """Ids at random, first those with some foreground and some background."""
    ids = list(looks)
    drawn = [ids[n] for n in rng.permutation(len(ids))]
    return sorted(drawn, key=lambda i: not LITTLE <= looks[i][FOREGROUND] <= 1 - LITTLE)


def features(samples: Iterable[Sample]) -> dict[str, NDArray[np.float32]]:
    """Of each image by its id: (320,) float32 of length 1."""
    import cv2
    import keras

    from napari_unet.networks.encoders import efficientnet_lite
    from napari_unet.networks.layers.blocks import Builder

    settings = NetworkSettings(name="encoder_unet", input_channels=1)
    image = keras.Input((SIDE, SIDE, 1))
    levels = efficientnet_lite.features(Builder(settings, 0), image, efficientnet_lite.DEEPEST)
    encoder = keras.Model(image, keras.layers.GlobalAveragePooling2D()(levels[max(levels)]))
    efficientnet_lite.take_weights(encoder, settings)
    found = {}
    for sample in samples:
        grey = np.asarray(sample.read_image(), np.float32).mean(axis=2)
        small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        small = (small - small.mean()) / (small.std() + 1e-6)
        vector = np.asarray(encoder(small[None, ..., None], training=False))[0]
        found[sample.id] = vector / (np.linalg.norm(vector) + 1e-6)
    return found


def core_set(
    known: dict[str, NDArray[np.float32]], teaching: Sequence[str], left: Sequence[str]
) -> list[str]:
    """The ids that are left, each the farthest from all before it."""
    points = np.stack([known[i] for i in left])
    distance = np.full(len(left), np.inf)
    for one in teaching:
        distance = np.minimum(distance, np.linalg.norm(points - known[one], axis=1))
    order = []
    for _ in left:
        best = int(np.argmax(distance))
        order.append(left[best])
        distance = np.minimum(distance, np.linalg.norm(points - points[best], axis=1))
        distance[best] = -1
    return order


def typical(
    known: dict[str, NDArray[np.float32]], teaching: Sequence[str], left: Sequence[str], count: int, seed: int
) -> list[str]:
    """The ids of `count` images, one of each of the largest clusters in which nothing teaches."""
    from scipy.cluster.vq import kmeans2

    ids = [*teaching, *left]
    points = np.stack([known[i] for i in ids]).astype(np.float64)
    clusters = min(len(ids), len(teaching) + count)
    _, cluster = kmeans2(points, clusters, minit="++", seed=seed)
    taught = np.arange(len(ids)) < len(teaching)
    order: list[str] = []
    for number in sorted(
        range(clusters), key=lambda c: (np.any(taught & (cluster == c)), -np.sum(cluster == c))
    ):
        members = np.flatnonzero((cluster == number) & ~taught)
        if not len(members):
            continue
        distances = np.linalg.norm(points[members][:, None] - points[members][None], axis=2)
        nearest = np.sort(distances, axis=1)[:, 1 : NEIGHBOURS + 1]
        order.append(ids[members[np.argmin(nearest.sum(axis=1))]])
    return order[:count]


class Offers:
    """What an arm offers, round by round.

    Parameters
    ----------
    arm : str
        One of ``ORDERS``.
    case : Case
        Whose images are offered.
    """

    def __init__(self, arm: str, case: Case) -> None:
        self.arm, self.case = arm, case
        self._known: list[tuple[MemberAgreement, float]] = []  # with the true IoU of images corrected before
        self._done: list[Appearance] = []

    def batch(self, model: Model, done: Sequence[str], left: Sequence[str], count: int) -> list[str]:
        """Ids of the next `count` of the images that are left."""
        case, teaching = self.case, [*self.case.parts["start"], *done]
        if self.arm == "core-set":
            return core_set(case.features, teaching, left)[:count]
        if self.arm == "typical":
            return typical(case.features, teaching, left, count, case.seed)
        rng = np.random.default_rng((case.seed, len(done), 11))
        looks = appearances(case.samples(left), model)
        if self.arm == "foreground":
            return by_foreground(looks, rng)[:count]
        found = agreement_of_members(case.samples(left), model)
        if self.arm == "strata":
            return by_strata(found, looks, 1 + len(done) // count, rng)[:count]
        calibration = calibrate([d for d, _ in self._known], [iou for _, iou in self._known])
        chosen = representative(found, looks, calibration, self._done)[:count]
        truth = dict(zip(chosen, case.score(model, chosen), strict=True))
        self._known += [(one, truth[one.id]) for one in found if one.id in truth]
        self._done += [looks[i] for i in chosen]
        return chosen
