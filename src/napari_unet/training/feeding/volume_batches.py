"""The endless, seeded stream of batches that a network in three dimensions learns from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_unet.data.volumes.voxel_size import CUBIC
from napari_unet.training.feeding.batches import TrainingBatches
from napari_unet.training.feeding.prepared_volume import prepare_volume
from napari_unet.training.feeding.volume_patches import cut_volume_patch

if TYPE_CHECKING:
    import numpy as np

    from napari_unet.data.sample import Sample
    from napari_unet.networks.sizes import InputSizes
    from napari_unet.settings import TrainingSettings
    from napari_unet.training.feeding.augmentation import Patch
    from napari_unet.training.feeding.prepared_sample import PreparedSample

PATCH_VOXELS = 2**17  # of an automatic patch; two of them make a step


class VolumeBatches(TrainingBatches):
    """As ``TrainingBatches``, of volumes: patches are (Z, Y, X).

    Parameters
    ----------
    anisotropy : float or None
        How many times as thick a slice is as a pixel of the network is wide; None if nobody knows.
    given, options
        As ``TrainingBatches``; the data set is one of ``data.volumes.blocks_of_slices.as_volumes``.
    """

    fewest = 2

    def __init__(self, *given: Any, anisotropy: float | None = None, **options: Any) -> None:
        self.anisotropy = 1.0 if anisotropy is None else anisotropy
        self.cubic = anisotropy is not None and 1 / CUBIC <= anisotropy <= CUBIC
        super().__init__(*given, **options)

    def _patch_shape(self, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
        """A block that is about as deep as it is wide, in units of length, as far as the volumes go."""
        depth, height, width = (max(shape[axis] for shape in shapes) for axis in range(3))
        _, across, _ = self.sizes.per_axis(3)
        z = depth_of_patch(self.training, self.anisotropy, self.sizes, depth)
        most = self.training.patch if self.training.patch_depth else math.sqrt(PATCH_VOXELS / z)
        sides = [min(n, self.training.patch, most) for n in (height, width)]
        if self.training.augmentation.symmetry == "dihedral":
            sides = [max(sides)] * 2
        y, x = (_nearest_fit(across, n) for n in sides)
        return z, y, x

    def _prepare(self, sample: Sample) -> PreparedSample:
        return prepare_volume(
            self.dataset,
            sample,
            self.normalization,
            self.class_weights,
            self.separation,
            self.connected,
            self.anisotropy,
        )

    def _cut(self, whole: Patch, centre: list[float], rng: np.random.Generator) -> Patch:
        z, y, x = self.shape
        augmentation = self.training.augmentation
        return cut_volume_patch(whole, centre, (z, y, x), augmentation, rng, cubic=self.cubic)


def depth_of_patch(
    training: TrainingSettings, anisotropy: float | None, sizes: InputSizes, deepest: float = math.inf
) -> int:
    """Slices of a patch.

    Parameters
    ----------
    training : TrainingSettings
        With `patch_depth`, or without, so that a patch is about as deep as it is wide.
    anisotropy : float or None
        How many times as thick a slice is as a pixel of the network is wide; None if nobody knows.
    sizes : InputSizes
        Of the network.
    deepest : float
        Slices of the largest volume.
    """
    thick = 1.0 if anisotropy is None else anisotropy
    side = (PATCH_VOXELS * thick) ** (1 / 3)
    along_z, _, _ = sizes.per_axis(3)
    return _nearest_fit(along_z, training.patch_depth or max(min(side / thick, deepest), 1))


def _nearest_fit(sizes: Any, side: float) -> int:
    """The size that a network takes that is nearest to a side."""
    return int(sizes.at_least(max(round(side) - sizes.multiple // 2, 1)))
