"""Volumes of cubic voxels in three planes: a network of images answers along z, y and x."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.channels import channels_of
from napari_unet.data.volumes.blocks_of_slices import stacked
from napari_unet.data.volumes.said_voxel_size import voxel_size_of
from napari_unet.data.volumes.slices import place_of, runs_of_slices
from napari_unet.data.volumes.voxel_size import parse_voxel_size
from napari_unet.errors import DataError, SettingsError, WorkbenchError
from napari_unet.inference.ensembles.ensemble import RunningMean
from napari_unet.inference.volumes.planes import AXES, PlaneNetwork, mean_of_planes
from napari_unet.models.ensemble import Ensemble
from napari_unet.models.intensities import prepare_image
from napari_unet.models.volumes.normalized_volume import normalization_of_slices
from napari_unet.workflow.segment.segment_volumes import around

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_unet.data.sample import Sample
    from napari_unet.data.volumes.voxel_size import VoxelSize
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken
    from napari_unet.settings import InferenceSettings, NetworkSettings

    Result = tuple[Sample, NDArray[np.float32], NDArray[np.float32] | None]
    OnProblem = Callable[[Sample, WorkbenchError], None]

log = logging.getLogger(__name__)
FLAT = (
    "%s looks different along z (voxels of %s), so only its slices are looked at, not the planes across them."
)
AROUND = 16  # slices before and behind those that are wanted, in planes across them
REMEDY = "use --no-orthogonal, or set orthogonal=false"


def sees_volumes(network: NetworkSettings, settings: InferenceSettings) -> bool:
    """Whether a model answers for a voxel by what lies in slices around it, too."""
    return network.dimensions != "2d" or settings.orthogonal


def check_planes(network: NetworkSettings, settings: InferenceSettings) -> None:
    """Refuse networks whose answers along three axes cannot be averaged.

    Raises
    ------
    SettingsError
        If the network takes volumes, draws outlines, or says of an image as a whole what is in it.
    """
    if network.in_3d:
        got = "a network in three dimensions, which sees along all axes"
    elif not network.fits_planes:
        got = f"separation={network.separation}, whose outlines lie within an image"
    elif network.presence and settings.least_presence:
        got = f"least_presence={settings.least_presence:g}, which is of single images"
    else:
        return
    raise SettingsError(
        "the answers of this model are not averaged over three planes",
        code="settings.planes.unsupported",
        expected="a 2d or 2.5d network that gives each pixel a probability",
        got=got,
        remedy=REMEDY,
    )


def check_cubic(name: str, voxel: VoxelSize | None, model: AnyModel) -> bool:
    """Refuse volumes that look different along z.

    Parameters
    ----------
    name : str
        Of the volume.
    voxel : VoxelSize or None
        As its file says; without it as the volumes that the model was trained on say.
    model : Model or Ensemble
        To be put on it.

    Returns
    -------
    bool
        Whether a size is known; else a person who asks for three planes is taken to know that it fits.

    Raises
    ------
    DataError
        If the voxels are known not to be about cubic.
    """
    voxel = _voxel_size(voxel, model)
    if voxel is None or voxel.is_cubic:
        return voxel is not None
    raise DataError(
        f"{name} looks different along z, so three planes are not averaged",
        code="data.volume.anisotropic",
        expected="about cubic voxels",
        got=voxel.text,
        remedy=REMEDY,
    )


def _voxel_size(voxel: VoxelSize | None, model: AnyModel) -> VoxelSize | None:
    """As the file says, else as the model's training says."""
    trained = model.recipe.training.voxel_size
    return voxel or (parse_voxel_size(trained) if trained else None)


def note_unknown_size() -> None:
    """Tell a person that nobody knows the size of voxels."""
    log.warning("The files do not say how large a voxel is. Voxels are taken for cubic.")


def by_planes(
    images: Iterable[tuple[Sample, NDArray[np.generic]]],
    model: AnyModel,
    settings: InferenceSettings,
    cancel: CancelToken | None = None,
    on_problem: OnProblem | None = None,
    on_slices: Callable[[float], None] | None = None,
    *,
    in_one_plane: Callable[[Sequence[Sample]], Iterator[Result]],
    disagreement: bool = False,
) -> Iterator[Result]:
    """Segment volumes in planes across z, y and x, and average.

    Each slice is prepared as the network is shown it. The other planes are cut out of what results, so that
    all slices are equally bright in them. Images that are no slices, and volumes that look different along
    z, have no other planes, which is said of the latter.

    Parameters
    ----------
    images : iterable of tuple
        Slices, (Y, X, C) each; all are read before the first result comes. Slices of their volume that lie
        just before and behind them are read, too.
    model : Model or Ensemble
        Whose networks take images.
    settings, cancel, on_problem, on_slices
        As ``segment_samples``.
    in_one_plane : callable
        Segments what has no other planes.
    disagreement : bool
        Whether it is wanted how far the answers along the three axes lie apart; of an ensemble it always
        is, with those of its members.

    Yields
    ------
    tuple
        Each slice, its outputs (Y, X, K) float32 in [0, 1], and how far answers lie apart, (Y, X) float32;
        None if that is not wanted.

    Raises
    ------
    SettingsError
        If the network's answers cannot be averaged so.
    """
    check_planes(model.recipe.network, settings)
    read = {sample.id: (sample, image) for sample, image in images}
    finished, known = 0, True
    for run in runs_of_slices(sample for sample, _ in read.values()):
        voxel = _voxel_size(voxel_size_of(run[:1]), model)
        thick = voxel is not None and not voxel.is_cubic
        if thick or place_of(run[0]) is None:
            if thick and voxel is not None:
                log.warning(FLAT, _name(run), voxel.text)
            for sample in run:
                del read[sample.id]
            yield from in_one_plane(run)
            continue
        known &= voxel is not None
        try:
            planes = _Planes(run, [read[sample.id][1] for sample in run], model)
            tell = None if on_slices is None else _telling(on_slices, finished, len(run))
            outputs, spread = planes.mean(model, settings, cancel, tell, disagreement=disagreement)
        except WorkbenchError as error:
            if on_problem is None:
                raise
            for sample in run:
                on_problem(sample, error)
            continue
        finished += len(run)
        for number, sample in enumerate(run):
            del read[sample.id]
            yield sample, outputs[number], None if spread is None else spread[number]
    if not known:
        note_unknown_size()


def _name(run: Sequence[Sample]) -> str:
    first = run[0]
    return first.id if len(run) == 1 else f"{first.id} to {run[-1].id}"


def _telling(on_slices: Callable[[float], None], before: int, slices: int) -> Callable[[float], None]:
    return lambda share: on_slices(before + slices * share)


class _Planes:
    """A run of slices with those around it, as they are prepared for one network after another."""

    def __init__(self, run: Sequence[Sample], images: list[NDArray[np.generic]], model: AnyModel) -> None:
        network = model.recipe.network
        self.slices, self.name = network.seen_slices, _name(run)
        of_slices = normalization_of_slices(model.normalization, self.slices)
        channels = channels_of(run[0])
        before, behind = around(
            run, images[0].shape, AROUND, AROUND, lambda image: of_slices.pick(image, *channels, self.name)
        )
        self.images = [*before, *images, *behind]
        stacked(self.images, self.name)
        self.inside = range(len(before), len(before) + len(run))

    def mean(
        self,
        model: AnyModel,
        settings: InferenceSettings,
        cancel: CancelToken | None,
        tell: Callable[[float], None] | None,
        *,
        disagreement: bool,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Outputs (Z, Y, X, K) float32, and (Z, Y, X) of their spread if that is wanted."""
        if not isinstance(model, Ensemble) and not disagreement:
            return mean_of_planes(list(self.along_each(model, settings, cancel, tell))), None
        depth, (height, width) = len(self.inside), self.images[0].shape[:2]
        total = RunningMean((depth * height, width))  # slices on top of each other are one tall image
        members = [(1.0, model)] if not isinstance(model, Ensemble) else None
        for weight, one in members or ((m.weight, one) for m, one in model.models()):  # type: ignore[union-attr]
            for answer in self.along_each(one, settings, cancel, tell if members else None):
                total.add(answer.astype(np.float32).reshape(depth * height, width, -1), weight / AXES)
        spread = total.spread(len(model.classes)).reshape(depth, height, width)
        return total.mean.reshape(depth, height, width, -1), spread

    def along_each(
        self,
        model: Model,
        settings: InferenceSettings,
        cancel: CancelToken | None,
        tell: Callable[[float], None] | None = None,
    ) -> Iterator[NDArray[np.float16]]:
        """Answers (Z, Y, X, K) float16 along z, y and x."""
        normalization = normalization_of_slices(model.normalization, self.slices)
        volume = np.stack([prepare_image(normalization, image, self.name) for image in self.images])
        network = plane_network(model, settings)
        full = (len(self.inside), *volume.shape[1:3])
        total, done = sum(full), 0
        for axis in range(AXES):
            planes = self.inside if axis == 0 else range(full[axis])
            found: NDArray[np.float16] | None = None
            for number, plane in enumerate(
                network.answers(np.moveaxis(volume, axis, 0), axis, planes, cancel)
            ):
                if found is None:
                    found = np.empty((*full, plane.shape[-1]), np.float16)
                within = plane if axis == 0 else plane[self.inside.start : self.inside.stop]
                np.moveaxis(found, axis, 0)[number] = within
                done += 1
                if tell is not None:
                    tell(done / total)
            assert found is not None
            yield found


def plane_network(
    model: Model, settings: InferenceSettings, scales: tuple[float, float, float] | None = None
) -> PlaneNetwork:
    """How a model is shown the planes of a volume; `scales` are along Z, Y and X, else the model's own."""
    network = model.recipe.network
    scale = model.normalization.scale
    return PlaneNetwork(
        model.predictor(separation=network.separation != "none", presence=False), model.sizes, settings,
        network.seen_slices, scales or (scale, scale, scale),
    )  # fmt: skip
