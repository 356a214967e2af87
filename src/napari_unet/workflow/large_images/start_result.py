"""How the result of a large image begins: what is asked, what decides it, what of it is there already."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_unet import __version__
from napari_unet.data.volumes.voxel_size import VoxelSize
from napari_unet.errors import OutputError, SettingsError
from napari_unet.export.label_store import PRESENCE, RAW, SPREAD, LabelStore, unfinished
from napari_unet.inference.object_classes import reads_classes
from napari_unet.inference.objects import way_of
from napari_unet.inference.parted_objects import ObjectWay
from napari_unet.inference.shapes.contours import refines
from napari_unet.models.ensemble import Ensemble
from napari_unet.workflow.large_images.plan import Block, LargeImage, asks_presence, plan_large_image
from napari_unet.workflow.large_images.stack_scale import stack_scale
from napari_unet.workflow.large_images.told_apart import SAID, ObjectRules
from napari_unet.workflow.large_images.volumes.finish_volume import ObjectsInVolume
from napari_unet.workflow.large_images.volumes.plane_plan import plan_planes
from napari_unet.workflow.large_images.volumes.volume_plan import plan_large_volume
from napari_unet.workflow.segment.segment_volumes import one_answer_only
from napari_unet.workflow.segment.three_planes import sees_volumes

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.data.files.lazy_stack import LazyStack
    from napari_unet.models.ensemble import AnyModel
    from napari_unet.settings import InferenceSettings, LargeImageSettings, Separation

    FileFormat = Literal["ome-zarr", "tiff"]

HEIGHTS = {"distance": "float16", "border": "float32"}  # that lose nothing
OWN_SETTING = {"learned": "core", "agglomerate": "join"}  # of ways to separate objects
WORDS = {
    "image": "another image",
    "model": "another model",
    "settings": "other settings",
    "precision": "another precision",
    "plan": "other tiles",
}


@dataclass(frozen=True)
class StartedResult:
    """A result that is being made.

    Attributes
    ----------
    store : LabelStore
        Where it goes.
    large : LargeImage
        How it is made.
    key : str
        Of the array that blocks are written to.
    todo : list of Block
        That lack.
    """

    store: LabelStore
    large: LargeImage
    key: str
    todo: list[Block]

    def show(self, block: Block) -> None:
        """Have a finished block seen on all levels before all are finished."""
        index = self.large.stack.indices[block.image]
        self.store.preview(self.key, index, *self.large.plan.result(block.number))


def rules_for(model: AnyModel, settings: InferenceSettings, *, objects: bool) -> ObjectRules | None:
    """What decides the objects of a large image; None if they are connected pieces, or are not wanted."""
    network, classes = model.recipe.network, len(model.classes)
    whole = reads_classes(settings, classes, network.separation)
    presence = asks_presence(model, settings)
    specks = settings.asks_depth(network)
    as_one = whole or presence or specks or refines(settings, classes)
    way = _way(model, settings)
    if not as_one and (way.how == "connected" or not objects):
        return None
    return ObjectRules(
        settings, way, network.separation, network.activation, model.classes, whole, objects, presence,
        specks=specks,
    )  # fmt: skip


def _way(model: AnyModel, settings: InferenceSettings) -> ObjectWay:
    """How touching objects are separated, with what the network says."""
    separation = model.recipe.network.separation
    kind: Separation = "distance" if separation in {"star", "objects"} else separation
    some = np.zeros((1, 1), np.float32)
    how = way_of(settings, some[..., None], None if kind == "none" else some, kind)
    return ObjectWay(how, kind, settings.core, settings.join)


def start_result(
    stack: LazyStack,
    model: AnyModel,
    out: Path,
    settings: InferenceSettings,
    large: LargeImageSettings,
    precision: str,
    overwrite: bool,
    *,
    objects: bool = False,
    links: bool = False,
    answers: bool = False,
    probabilities: bool = False,
    disagreement: bool = False,
    over_time: bool = False,
) -> StartedResult:
    """Make the store of a result, or take up one that was begun with the same image, model and settings.

    With `answers` all that the network says stays in it until it is finished, with `probabilities` what it
    says of classes, and with `disagreement` how far several answers lie apart.

    Raises
    ------
    OutputError
        If something else is there, or was begun otherwise.
    """
    out = out.expanduser().resolve()  # the same for workers on other machines
    path = unfinished(out)
    _make_room(out, path, overwrite)
    check_together(model, settings, disagreement=disagreement, over_time=over_time)
    wanted = about_result(stack, model, settings, large, precision)
    in_volume = objects_in_volume(stack, model, settings) if objects and not over_time else None
    cells = in_cells(model, settings)
    learned = in_volume is not None and in_volume.learned
    rules = rules_for(model, settings, objects=objects)
    whole = reads_classes(settings, len(model.classes), model.recipe.network.separation)
    if objects:
        wanted["settings"]["objects"] = "connected" if rules is None else settings.objects
    if rules is not None and rules.way.how in OWN_SETTING:
        name = OWN_SETTING[rules.way.how]
        wanted["settings"][name] = getattr(settings, name)
    for name, value, chosen in (
        ("link_objects", True, links), ("probabilities", True, probabilities),
        ("disagreement", True, disagreement), ("class_of", "objects", whole),
    ):  # fmt: skip
        if chosen:
            wanted["settings"][name] = value
    # Finished slice by slice, or image by image.
    by_slice = rules is not None and (rules.as_whole or not cells)
    apart = answers or (probabilities and not cells) or by_slice
    raw = objects or whole or disagreement or probabilities or settings.minimum_size > 1

    def plan(chunk: tuple[int, ...] | None) -> LargeImage:
        if settings.orthogonal:
            return plan_planes(
                stack, model, settings, large, chunk, apart=apart or learned, disagreement=disagreement
            )
        if cells:
            return plan_large_volume(
                stack, model, settings, large, chunk, apart=apart or learned, disagreement=disagreement
            )
        sides, scale = None if chunk is None else (chunk[0], chunk[1]), scale_of(wanted)
        return plan_large_image(
            stack, model, settings, large, sides, apart=apart, disagreement=disagreement, scale=scale
        )

    if path.exists():
        store = LabelStore.open(path)
        planned = plan(tuple(store.about["chunk"]))
        check_same(store.about, wanted | tiles_of(planned), out)
    else:
        planned = plan(None)
        about = wanted | tiles_of(planned)
        dtype = "uint32" if objects else "uint8"
        shape = planned.label_shape(dtype)
        classes = () if objects else model.classes
        store = LabelStore.create(
            path, shape, stack.name, classes, about, raw=raw or apart,
            probabilities=len(model.classes) if whole and not apart else 0,
            answers=min(planned.channels, len(model.classes) + 1) if apart else 0,
            height=HEIGHTS[model.recipe.network.separation] if learned and cells and not apart else "",
        )  # fmt: skip
    if disagreement:
        store.scratch(SPREAD, "float32")
    if asks_presence(model, settings):
        store.scratch(PRESENCE, "float32", by_file=True)
    if cells and not apart and (probabilities or (in_volume is not None and in_volume.wants_classes)):
        store.scratch(SAID, "float16", len(model.classes))
    key = RAW if raw or apart else "0"
    there = store.written(key)
    return StartedResult(store, planned, key, planned.lacking(there, path))


def _make_room(out: Path, path: Path, overwrite: bool) -> None:
    """Remove what is replaced; refuse to write over anything else."""
    if overwrite:
        for old in (path, out):
            if not (old == out and out.is_file()):  # a file is replaced when the new one is whole
                _remove(old)
    if out.exists() and not (overwrite and out.is_file()):
        raise OutputError(
            f"{out} is there already",
            code="output.exists",
            expected="a new name",
            remedy="choose another folder or give --overwrite",
        )


def check_together(
    model: AnyModel, settings: InferenceSettings, *, disagreement: bool, over_time: bool
) -> None:
    """Refuse what is not made of cells of a volume.

    Raises
    ------
    ModelError, SettingsError
        If objects of volumes would be followed over time, or one model compared with itself.
    """
    in_3d = model.recipe.network.in_3d
    if not in_cells(model, settings):
        return
    if over_time:
        raise SettingsError(
            "objects of volumes are not followed over time",
            code="settings.objects.unsupported",
            expected="a model with dimensions=2d or 2.5d, and orthogonal=false",
            got="dimensions=3d" if in_3d else "orthogonal=true",
            remedy="leave out --over-time",
        )
    if disagreement and in_3d and not isinstance(model, Ensemble):
        raise one_answer_only()


def objects_in_volume(
    stack: LazyStack, model: AnyModel, settings: InferenceSettings
) -> ObjectsInVolume | None:
    """How objects are found in three dimensions; None where each slice has its own."""
    network = model.recipe.network
    if not sees_volumes(network, settings) or "z" not in dict(stack.leading):
        return None
    pixel, distance = stack.pixel_size, stack.slice_distance
    anisotropy = 1.0 if pixel is None or distance is None else VoxelSize(distance, pixel).anisotropy
    return ObjectsInVolume(
        model.classes,
        _way(model, settings).how,
        settings.core,
        settings.join,
        network.separation,
        anisotropy,
    )


def in_cells(model: AnyModel, settings: InferenceSettings) -> bool:
    """Whether a result is made of cells of a volume, not of parts of its slices."""
    return model.recipe.network.in_3d or settings.orthogonal


def as_seen(stack: LazyStack, model: AnyModel) -> LazyStack:
    """A stack as a model sees it: each slice with its neighbours, if it sees several as channels."""
    seen = model.recipe.network.seen_slices
    return stack if stack.seen == seen else stack.with_neighbours(seen)


def _remove(path: Path) -> None:
    """Remove a result of ours; anything else stays.

    Raises
    ------
    DataError, OutputError
        If it is no result of ours, or cannot be removed.
    """
    if not path.exists():
        return
    LabelStore.open(path)
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be removed", code="output.unremovable", reason=error.strerror or str(error)
        ) from error


def about_result(
    stack: LazyStack, model: AnyModel, settings: InferenceSettings, large: LargeImageSettings, precision: str
) -> dict[str, Any]:
    """All that decides the result, as JSON; stored with it."""
    decides = settings.model_dump(mode="json", include={"flips", "threshold", "minimum_size"})
    if refines(settings, len(model.classes)):
        decides["refinement"] = settings.refinement
    if asks_presence(model, settings):
        decides["least_presence"] = settings.least_presence
    if settings.asks_depth(model.recipe.network):
        decides["least_depth"] = settings.least_depth
    if settings.orthogonal:
        decides["orthogonal"] = True
    if model.recipe.training.pixel_size and stack.pixel_size is not None:
        decides["pixel_size"] = stack.pixel_size.text
    named = hash_of_any(model)
    scale = stack_scale(stack, model, settings, f"{named} {precision}")
    if scale != 1.0:
        decides["scale"] = scale
    return {
        "program": f"napari-unet-workbench {__version__}",
        "image": stack.fingerprint,
        "model": named,
        "settings": {**decides, "context": large.context},
        "precision": precision,
    }


def scale_of(about: dict[str, Any]) -> float:
    """At which scale the model sees what is described so."""
    return float(about["settings"].get("scale", 1.0))


def hash_of_any(model: AnyModel) -> str:
    """Of all that decides what a model says; of an ensemble that of its members, and their weights."""
    if not isinstance(model, Ensemble):
        return model.hash
    digest = hashlib.blake2b(digest_size=16)
    for member, one in model.models():
        digest.update(f"{one.hash} {member.weight:.9g} {member.head} ".encode())
    return digest.hexdigest()


def tiles_of(planned: LargeImage) -> dict[str, Any]:
    """How it is gone about; that decides the result only where tiles do not see all that the network does."""
    return {"chunk": list(planned.chunk), "plan": None if planned.exact else planned.tiles}


def check_same(then: dict[str, Any], now: dict[str, Any], out: Path) -> None:
    """Refuse to resume a result that was begun otherwise.

    Raises
    ------
    OutputError
        Saying what is different.
    """
    for name, words in WORDS.items():
        if then.get(name) == now[name]:
            continue
        before, after = str(then.get(name)), str(now[name])
        if name == "settings":
            old, new = dict(then.get(name) or {}), now[name]
            different = [key for key in {**new, **old} if old.get(key) != new.get(key)]
            before = ", ".join(f"{key} {old.get(key)}" for key in different)
            after = ", ".join(f"{key} {new.get(key)}" for key in different)
        raise OutputError(
            f"{out} was begun with {words}",
            code="output.different",
            expected=before,
            got=after,
            remedy="continue as it was begun, choose another folder, or give --overwrite to start again",
        )
