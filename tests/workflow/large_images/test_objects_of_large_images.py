"""Objects that touch are the same in a large image as in memory, for each way of telling them apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from scipy import ndimage

from napari_unet.data.catalog import open_images
from napari_unet.data.files.lazy_stack import lazy_stack
from napari_unet.data.files.pixel_size import PixelSize
from napari_unet.data.masks.numbered_objects import find_numbered
from napari_unet.data.sample import Sample
from napari_unet.errors import Cancelled
from napari_unet.export.label_store import SCRATCH, LabelStore
from napari_unet.models.ensemble import Ensemble, load_any
from napari_unet.models.model import Model, save_model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network
from napari_unet.progress import CancelToken, Progress
from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe
from napari_unet.workflow.large_images import answers, any_size, told_apart
from napari_unet.workflow.large_images import plan as large_module
from napari_unet.workflow.large_images.segment_large import segment_stack
from napari_unet.workflow.segment import network_answers as small_images
from napari_unet.workflow.segment.segment_samples import Segmentation, segment_samples
from support.errors import raises_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_unet.workflow.large_images.plan import Block

pytestmark = pytest.mark.slow
PRESENCE = 0.4  # that the image holds anything, by the answer
SHAPE = (152, 192)  # multiples of 4, or a network is shown the whole image shifted


@pytest.fixture(autouse=True)
def _awkward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 96, files of 40, parts of 80 pixels: objects lie on borders of all of them."""
    monkeypatch.setattr("napari_unet.inference.budget.LARGEST_TILE", 96)
    monkeypatch.setattr("napari_unet.inference.shared_tiles.BLOCK", 64)
    monkeypatch.setattr(large_module, "LARGEST_CHUNK", 40)
    for module in ("told_apart", "numbering", "finish", "large_stars"):
        monkeypatch.setattr(f"napari_unet.workflow.large_images.{module}.PART", 80)


def model_of(separation: str, classes: int = 1, **inference: Any) -> Model:
    """A network with random weights; one that says whether there is anything, if masks depend on that."""
    names = tuple("abc"[:classes])
    network = NetworkSettings(
        filters=4, depth=2, classes=classes, separation=separation,
        presence="least_presence" in inference,
        activation="sigmoid" if classes == 1 else "softmax",
    )  # fmt: skip
    settings = InferenceSettings(**{"flips": "none", "tile": 2048, "overlap": 16, **inference})
    recipe = Recipe(name="tiny", network=network, inference=settings)
    return Model(recipe, Normalization(), names, build_network(network, 0))


def field(seed: int, sigma: float = 4.0) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), sigma)
    return np.asarray((0.55 + noise / (4 * noise.std())).clip(0, 1), np.float32)


def answer_of(model: Model) -> np.ndarray:
    """What a network might say: classes, then depth or borders, then rays of about the size of objects."""
    classes = len(model.classes)
    share = 1 if classes == 1 else 2 if model.recipe.network.presence else 1.6
    found = [field(10 + number, 6) / share for number in range(classes)]
    separation = model.recipe.network.separation
    if model.recipe.network.presence:
        found.append(field(7, 9) * np.float32(PRESENCE / field(7, 9).max()))
    if model.recipe.inference.least_depth and classes == 2:  # else all of the image is one piece
        found[:2] = [((one - 0.4) * 3).clip(0, 0.5) for one in found[:2]]
    if separation != "none":
        found.append(field(0, 3))
    rays = [field(20 + number, 8) * 16 / 1024 for number in range(32 * (separation == "star"))]
    return np.stack(found + rays, axis=-1).astype(np.float32)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """What networks say of the image, wherever they are asked: put it under "answer"."""
    known: dict[str, np.ndarray] = {}

    def of(self: answers.BlockAnswers, blocks: Sequence[Block], tiles: object) -> list[np.ndarray]:
        places = [self.large.plan.result(block.number) for block in blocks]
        return [known["answer"][place][..., : self.large.channels] for place in places]

    def by_one(
        samples: Any, model: Model, settings: object, cancel: object, on_problem: Any, blanks: Any
    ) -> Iterator[tuple[Sample, np.ndarray, None]]:
        for sample, _ in small_images.readable_images(samples, on_problem, model.normalization, blanks):
            yield sample, known["answer"], None

    monkeypatch.setattr(answers.BlockAnswers, "of", of)
    monkeypatch.setattr(small_images, "_by_one", by_one)
    return known


def in_memory(image: np.ndarray, model: Any, settings: InferenceSettings | None = None) -> Segmentation:
    (found,) = segment_samples([Sample("a", lambda: image[..., None])], model, settings)
    return found


def result(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_group(path, mode="r")["0"])


def assert_same_objects(found: np.ndarray, expected: np.ndarray) -> None:
    """One number of the one for each number of the other, background included; ours have no gaps."""
    np.testing.assert_array_equal(found > 0, expected > 0)
    pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(expected))
    np.testing.assert_array_equal(np.unique(found), np.arange(pairs.shape[1]))


WAYS = [
    ("distance", 1, {}),
    ("distance", 1, {"minimum_size": 60, "core": 0.6}),
    ("border", 1, {}),
    ("star", 1, {}),
    ("star", 1, {"objects": "connected"}),
    ("none", 1, {"objects": "shape"}),
    ("none", 1, {"objects": "probability", "minimum_size": 40}),
    ("none", 2, {"objects": "probability", "class_of": "pixels"}),
    ("none", 2, {"objects": "shape", "class_of": "objects", "minimum_size": 30}),
    # Fragments that are joined where there is no border.
    ("none", 1, {"objects": "agglomerate", "minimum_size": 30}),
    ("none", 2, {"objects": "agglomerate", "class_of": "pixels", "join": 0.45}),
    ("distance", 2, {"objects": "agglomerate"}),
    ("none", 1, {"objects": "agglomerate", "refinement": 0.4, "threshold": 0.6}),
    ("distance", 2, {}),
    ("border", 2, {"minimum_size": 50}),
    ("star", 3, {}),
    ("distance", 2, {"class_of": "pixels"}),
    # Contours, with whatever comes after them.
    ("none", 1, {"refinement": 0.6, "threshold": 0.85}),
    ("distance", 1, {"refinement": 0.5, "threshold": 0.8, "minimum_size": 40}),
    ("none", 1, {"refinement": 0.4, "objects": "probability"}),
    # Specks, which are nowhere deep, with whatever else decides the mask.
    ("distance", 1, {"least_depth": 0.9, "threshold": 0.7}),
    ("distance", 1, {"least_depth": 0.7, "threshold": 0.7, "minimum_size": 60, "objects": "connected"}),
    ("distance", 1, {"least_depth": 0.9, "refinement": 0.5, "threshold": 0.8}),
    ("distance", 2, {"least_depth": 0.93, "threshold": 0.45}),
    ("distance", 3, {"least_depth": 0.7, "class_of": "pixels"}),
    ("distance", 2, {"least_depth": 0.9, "threshold": 0.25, "least_presence": 0.39}),
    # An image in which there may be nothing: 0.4 is enough, and is not.
    ("none", 1, {"least_presence": 0.3}),
    ("none", 1, {"least_presence": 0.5}),
    ("distance", 2, {"least_presence": 0.39, "threshold": 0.4}),
    ("distance", 2, {"least_presence": 0.41}),
    ("star", 1, {"least_presence": 0.5, "refinement": 0.5}),
]


@pytest.mark.parametrize(("separation", "classes", "changes"), WAYS)
def test_objects_are_those_of_the_whole_image(
    separation: str, classes: int, changes: dict[str, Any], tmp_path: Path, said: dict[str, np.ndarray]
) -> None:
    model = model_of(separation, classes, **changes)
    said["answer"] = answer_of(model)
    image = (field(5) * 60_000).astype(np.uint16)
    image[:30, 100:140] = 0  # a hole without data
    expected = in_memory(image, model)
    empty = changes.get("least_presence", 0) > PRESENCE
    assert expected.objects.max() == 0 if empty else expected.objects.max() > 3
    if "refinement" in changes and not empty:
        plain = model.recipe.inference.model_copy(update={"refinement": 0.0})
        assert (in_memory(image, model, plain).mask != expected.mask).sum() > 100
    if "least_depth" in changes:
        every = model.recipe.inference.model_copy(update={"least_depth": 0.0})
        more = in_memory(image, model, every).mask
        assert 20 < (more != expected.mask).sum() < (more > 0).sum() / 2
    out = segment_stack(lazy_stack(image), model, tmp_path / "a.ome.zarr", objects=True)
    found = result(out)
    assert_same_objects(found, expected.objects)
    done = LabelStore.open(out)
    assert not {path.name for path in out.iterdir()} & set(SCRATCH)
    if classes > 1:
        numbered = done.read_numbered()
        assert numbered is not None
        np.testing.assert_array_equal(numbered.classes[found], expected.mask)
        other = np.zeros(found.max() + 1, np.int64)
        other[found.ravel()] = expected.objects.ravel()
        assert sorted(other[list(numbered.ties)].tolist()) == list(expected.ties)
    mask = segment_stack(lazy_stack(image), model, tmp_path / "mask.ome.zarr")
    np.testing.assert_array_equal(result(mask), expected.mask)


def test_of_each_image_of_a_stack(tmp_path: Path, said: dict[str, np.ndarray]) -> None:
    model = model_of("star")
    said["answer"] = answer_of(model)
    image = (field(5) * 60_000).astype(np.uint16)
    out = segment_stack(
        lazy_stack(np.stack([image, image]), "zyx"), model, tmp_path / "a.ome.zarr", objects=True
    )
    expected = in_memory(image, model)
    for found in result(out):
        assert_same_objects(found, expected.objects)


SPECKS: tuple[str, dict[str, Any]] = ("distance", {"least_depth": 0.93, "threshold": 0.45})


@pytest.mark.parametrize(
    ("words", "separation", "changes"),
    [
        ("Segmenting", "star", {}),
        ("Finding polygons", "star", {}),
        ("Finding objects", "star", {}),
        ("Numbering objects", "star", {}),
        ("Dropping small pieces", *SPECKS),
        ("Finding objects", *SPECKS),
    ],
)
def test_what_is_stopped_anywhere_is_resumed(
    words: str, separation: str, changes: dict[str, Any], tmp_path: Path, said: dict[str, np.ndarray]
) -> None:
    model = model_of(separation, 2, **changes)
    said["answer"] = answer_of(model)
    image = (field(5) * 60_000).astype(np.uint16)
    cancel, out = CancelToken(), tmp_path / "a.ome.zarr"
    seen: list[str] = []

    def stop(progress: Progress) -> None:
        seen.append(progress.message)
        if seen.count(words) == 2:
            cancel.cancel()

    with pytest.raises(Cancelled):
        segment_stack(lazy_stack(image), model, out, objects=True, on_progress=stop, cancel=cancel)
    assert seen[-1] == words
    assert not out.exists()
    segment_stack(lazy_stack(image), model, out, objects=True)
    assert_same_objects(result(out), in_memory(image, model).objects)


def test_specks_are_faded_once_where_the_computer_went_off_in_between(
    tmp_path: Path, said: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(SPECKS[0], 2, **SPECKS[1])
    said["answer"] = answer_of(model)
    image = (field(5) * 60_000).astype(np.uint16)
    write_channels = LabelStore.write_channels
    written: list[str] = []

    def went_off(self: LabelStore, key: str, *rest: Any) -> None:
        write_channels(self, key, *rest)
        written.append(key)
        if (
            fading and len(written) == 2
        ):  # the probabilities of two parts are faded, the mask of one is written
            raise Cancelled

    fading = False
    look = told_apart._look_at_depths

    def looking(item: Any) -> Any:
        nonlocal fading
        fading = True
        written.clear()
        return look(item)

    with monkeypatch.context() as patched:
        patched.setattr(LabelStore, "write_channels", went_off)
        patched.setattr(told_apart, "_look_at_depths", looking)
        with pytest.raises(Cancelled):
            segment_stack(lazy_stack(image), model, tmp_path / "a.ome.zarr", probabilities=True)
    segment_stack(lazy_stack(image), model, tmp_path / "a.ome.zarr", probabilities=True)
    found = zarr.open_group(tmp_path / "a_probabilities.ome.zarr", mode="r")["0"]
    expected = in_memory(image, model)
    np.testing.assert_array_equal(np.asarray(found), np.moveaxis(expected.probabilities, -1, 0))
    np.testing.assert_array_equal(result(tmp_path / "a.ome.zarr"), expected.mask)


@pytest.mark.parametrize(("shape", "axes"), [(SHAPE, "yx"), ((2, *SHAPE), "zyx"), ((2, *SHAPE), "qyx")])
@pytest.mark.parametrize("objects", [True, False])
def test_a_tiff_has_the_levels_of_the_ome_zarr(
    objects: bool, shape: tuple[int, ...], axes: str, tmp_path: Path, said: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("napari_unet.export.ome_zarr.SMALLEST", 50)
    monkeypatch.setattr("napari_unet.export.label_files.TILE", 64)
    model = model_of("distance", 2)
    said["answer"] = answer_of(model)
    image = np.broadcast_to((field(5) * 60_000).astype(np.uint16), shape)
    stack = replace(lazy_stack(image, axes=axes), pixel_size=PixelSize(0.5, 0.25, "µm"))
    zarr_path = segment_stack(stack, model, tmp_path / "a.ome.zarr", objects=objects)
    cancel = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.message == "Writing TIFF" and progress.done > 1:
            cancel.cancel()

    path = tmp_path / "a.ome.tif"
    with pytest.raises(Cancelled):
        segment_stack(stack, model, path, objects=objects, on_progress=stop, cancel=cancel)
    assert not path.exists()
    segment_stack(stack, model, path, objects=objects)
    assert not list(tmp_path.glob("*.unfinished"))
    store = LabelStore.open(zarr_path)
    with tifffile.TiffFile(path) as file:
        levels = file.series[0].levels
        assert len(levels) == len(store.levels) == 3
        assert file.pages[0].is_tiled
        assert file.is_bigtiff
        for level, expected in zip(levels, store.levels, strict=True):
            assert level.dtype == expected.dtype
            np.testing.assert_array_equal(level.asarray(), np.asarray(expected))
        if axes != "qyx":
            assert 'PhysicalSizeX="0.25"' in file.ome_metadata
    if objects and axes == "yx":
        numbered = find_numbered(path.read_bytes(), path.name)
        expected_classes = store.read_numbered()
        assert numbered is not None
        assert expected_classes is not None
        np.testing.assert_array_equal(numbered.classes, expected_classes.classes)
    with raises_code("output.exists"):
        segment_stack(stack, model, path, objects=objects)
    segment_stack(stack, model, path, objects=objects, overwrite=True)


@pytest.mark.parametrize(
    ("separation", "classes", "changes"),
    [
        ("star", 2, {}),
        ("distance", 1, {"minimum_size": 60}),
        ("distance", 2, {"least_depth": 0.93, "threshold": 0.45}),
        ("none", 2, {"class_of": "pixels"}),
        ("none", 1, {}),
    ],
)
def test_what_is_scored_and_exported_of_a_large_image_is_that_of_a_small_one(
    separation: str, classes: int, changes: dict[str, Any], said: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model = model_of(separation, classes, **changes)
    said["answer"] = answer_of(model)
    image = (field(5) * 60_000).astype(np.uint16)
    expected = in_memory(image, model)
    monkeypatch.setattr(any_size, "is_large_sample", lambda sample: sample.id == "a")
    samples = [Sample(name, lambda: image[..., None]) for name in "bac"]
    before, found, after = any_size.segment_any_size(samples, model)
    assert not isinstance(before, any_size.LargeSegmentation)
    assert not isinstance(after, any_size.LargeSegmentation)
    assert isinstance(found, any_size.LargeSegmentation)
    assert found.sample.id == "a"
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert_same_objects(found.objects, expected.objects)
    assert found.separation_kind == expected.separation_kind
    if expected.separation is not None:
        np.testing.assert_array_equal(found.separation, expected.separation)
    other = np.zeros(found.objects.max() + 1, np.int64)
    other[found.objects.ravel()] = expected.objects.ravel()
    assert sorted(other[list(found.ties)].tolist()) == list(expected.ties)


def test_a_large_tiff_of_a_data_set_is_known_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((60, 50), np.uint8))
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((20, 20), np.uint8))
    zarr.create_array(tmp_path / "c.zarr", data=np.zeros((60, 50), np.uint8))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["image"] = np.zeros((3, 40, 60), np.uint8)
    (tmp_path / "e.tif").write_bytes(b"II*\0")  # damaged: reading it says so
    monkeypatch.setattr(any_size, "LARGE", 2000)
    large = {sample.id: any_size.is_large_sample(sample) for sample in open_images((tmp_path,))}
    assert large == {
        "a": True, "b": False, "c": True, "d_000": True, "d_001": True, "d_002": True, "e": False,
    }  # fmt: skip


def assert_alike(found: np.ndarray, expected: np.ndarray) -> None:
    """As many objects, but for those that rounding decides; the others all but equal."""
    assert expected.max() > 10
    numbers = np.unique(expected[expected > 0])
    same = 0
    for number in numbers:
        mine = expected == number
        other = np.bincount(found[mine]).argmax()
        same += bool(other) and (mine & (found == other)).sum() > 0.98 * (mine | (found == other)).sum()
    assert same >= 0.97 * len(numbers)
    assert abs(int(found.max()) - len(numbers)) <= 0.03 * len(numbers)


def spread_out(model: Model) -> Model:
    """So that what the network says lies on both sides of every threshold."""
    noise = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal((1, 128, 128, 1)), (0, 2, 2, 0))
    logits = np.asarray(model.network.predict_on_batch(noise.astype(np.float32) * 4))
    last = next(layer for layer in reversed(model.network.layers) if layer.get_weights())
    kernel, bias = last.get_weights()
    wide = 3 / logits.std(axis=(0, 1, 2)).clip(1e-6)
    last.set_weights([kernel * wide, (bias - logits.mean(axis=(0, 1, 2))) * wide])
    return model


@pytest.mark.parametrize("separation", ["distance", "border"])
def test_a_network_says_the_same_of_blocks(separation: str, tmp_path: Path) -> None:
    model = spread_out(model_of(separation))
    image = (field(7, 2) * 60_000).astype(np.uint16)
    out = segment_stack(lazy_stack(image), model, tmp_path / "a.ome.zarr", objects=True)
    assert_alike(result(out), in_memory(image, model).objects)


def test_an_ensemble_says_of_blocks_what_it_says_of_the_whole(tmp_path: Path) -> None:
    models = [spread_out(model_of("distance")), spread_out(model_of("distance"))]
    scaled = replace(models[1], normalization=Normalization(scale=0.5))
    paths = [save_model(one, tmp_path / name) for one, name in zip((models[0], scaled), "ab", strict=True)]
    ensemble = ensemble_of(paths)
    image = (field(7, 2) * 60_000).astype(np.uint16)
    out = segment_stack(lazy_stack(image), ensemble, tmp_path / "a.ome.zarr", objects=True)
    expected = in_memory(image, ensemble)
    assert_alike(result(out), expected.objects)
    mask = result(segment_stack(lazy_stack(image), ensemble, tmp_path / "mask.ome.zarr"))
    decided = np.abs(expected.probabilities[..., 0] - 0.5) > 1e-3
    np.testing.assert_array_equal(mask[decided], expected.mask[decided])
    alone = in_memory(image, load_any(paths[0])).mask
    assert (mask != alone).mean() > 0.01
    # Where members are loaded one after another the answer is the same.
    ensemble_of_little_room = replace(ensemble_of(paths), room=0)
    again = segment_stack(lazy_stack(image), ensemble_of_little_room, tmp_path / "b.ome.zarr")
    np.testing.assert_array_equal(result(again), mask)


def ensemble_of(paths: Sequence[Path]) -> Ensemble:
    from napari_unet.models.ensemble import Member, save_ensemble

    first = load_any(paths[0])
    members = tuple(Member(path, 1 / len(paths)) for path in paths)
    folder = paths[0].parent / "ensemble"
    save_ensemble(Ensemble(first.recipe, first.normalization, first.classes, {}, members), folder)
    found = load_any(folder)
    assert isinstance(found, Ensemble)
    return found


def test_a_network_that_finds_objects_gets_the_tiles_that_it_gets_in_memory(tmp_path: Path) -> None:
    settings = NetworkSettings(name="mask_rcnn", separation="objects", filters=4)
    inference = InferenceSettings(flips="none", tile=64, overlap=16)
    network = build_network(settings, 0)
    recipe = Recipe(name="tiny", network=settings, inference=inference)
    model = Model(recipe, Normalization(), ("a",), network)
    image = (field(7, 2) * 60_000).astype(np.uint16)

    def made_up(images: np.ndarray) -> np.ndarray:
        """Depth and probability by what the tile has: another tile has another mean."""
        bright = images[..., :1] - images.mean(axis=(1, 2, 3), keepdims=True)
        smooth = ndimage.gaussian_filter(bright, (0, 2, 2, 0))
        both = np.concatenate([smooth, ndimage.gaussian_filter(bright, (0, 1, 1, 0))], axis=-1)
        return np.asarray(1 / (1 + np.exp(-3 * both)), np.float32)

    model.predictor = lambda **_: made_up  # type: ignore[method-assign]
    type(model).outputs  # noqa: B018 - a property, which asks the predictor
    expected = in_memory(image, model)
    assert expected.objects.max() > 10
    out = segment_stack(lazy_stack(image), model, tmp_path / "a.ome.zarr", objects=True)
    assert_same_objects(result(out), expected.objects)


@pytest.mark.parametrize(
    ("separation", "classes", "changes"),
    [
        ("none", 1, {}),
        ("distance", 2, {"least_presence": 0.41}),
        ("distance", 1, {"least_depth": 0.9, "threshold": 0.7}),
        ("none", 1, {"refinement": 0.6}),
    ],
)
def test_probabilities_are_written_with_levels(
    separation: str, classes: int, changes: dict[str, Any], tmp_path: Path, said: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("napari_unet.workflow.segment.large_values.SMALLEST", 100)
    monkeypatch.setattr("napari_unet.workflow.segment.large_values.SIDE", 64)
    model = model_of(separation, classes, **changes)
    said["answer"] = answer_of(model)
    image = (field(5) * 60_000).astype(np.uint16)
    image[:30, 100:140] = 0
    expected = in_memory(image, model)
    stack = replace(lazy_stack(image), pixel_size=PixelSize(0.5, 0.25, "µm"))
    segment_stack(stack, model, tmp_path / "a.ome.zarr", probabilities=True)
    np.testing.assert_array_equal(result(tmp_path / "a.ome.zarr"), expected.mask)
    written = zarr.open_group(tmp_path / "a_probabilities.ome.zarr", mode="r")
    planes = np.moveaxis(expected.probabilities, -1, 0)
    planes = planes if classes > 1 else planes[0]
    np.testing.assert_array_equal(np.asarray(written["0"]), planes)
    # A pixel of the next level is the mean of four.
    means = planes.reshape(*planes.shape[:-2], 76, 2, 96, 2).mean(axis=(-3, -1))
    np.testing.assert_allclose(np.asarray(written["1"]), means, atol=1e-6)
    (shown,) = written.attrs["ome"]["multiscales"]
    assert "".join(axis["name"] for axis in shown["axes"]) == ("cyx" if classes > 1 else "yx")
    assert shown["datasets"][1]["coordinateTransformations"][0]["scale"][-2:] == [1.0, 0.5]
    segment_stack(stack, model, tmp_path / "b.ome.tif", probabilities=True)
    with tifffile.TiffFile(tmp_path / "b_probabilities.ome.tif") as file:
        np.testing.assert_array_equal(file.asarray(), planes)
        assert len(file.series[0].levels) == len(list(written.array_keys())) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.ome.zarr", "a_probabilities.ome.zarr", "b.ome.tif", "b_probabilities.ome.tif",
    ]  # fmt: skip


def test_probabilities_of_a_stack_have_their_axes_in_order(
    tmp_path: Path, said: dict[str, np.ndarray]
) -> None:
    model = model_of("none", 2, class_of="pixels")
    said["answer"] = answer_of(model)
    images = np.stack([np.stack([(field(5) * 60_000).astype(np.uint16)] * 3)] * 2)
    segment_stack(lazy_stack(images, axes="tzyx"), model, tmp_path / "a.ome.zarr", probabilities=True)
    written = np.asarray(zarr.open_group(tmp_path / "a_probabilities.ome.zarr", mode="r")["0"])
    assert written.shape == (2, 2, 3, *SHAPE)  # time, classes, depth
    planes = np.moveaxis(in_memory(images[0, 0], model).probabilities, -1, 0)
    np.testing.assert_array_equal(written, np.broadcast_to(planes[None, :, None], written.shape))


def test_answers_to_the_flipped_image_disagree_as_in_memory(tmp_path: Path) -> None:
    model = spread_out(model_of("distance"))
    image = (field(5) * 60_000).astype(np.uint16)
    (expected,) = segment_samples([Sample("a", lambda: image[..., None])], model, disagreement=True)
    assert expected.disagreement is not None
    assert expected.disagreement.max() > 0.05
    out = segment_stack(lazy_stack(image), model, tmp_path / "a.ome.zarr", disagreement=True)
    found = np.asarray(zarr.open_group(tmp_path / "a_disagreement.ome.zarr", mode="r")["0"])
    np.testing.assert_allclose(found, expected.disagreement, atol=2e-3)
    assert (result(out) != expected.mask).mean() < 1e-3


def test_a_network_says_of_the_same_tiles_whether_there_is_anything(tmp_path: Path) -> None:
    model = model_of("none", least_presence=1e-6, tile=64)
    image = (field(5) * 60_000).astype(np.uint16)
    alone = in_memory(image, model)
    seen, threshold = alone.presence, float(np.median(alone.probabilities))
    assert 1e-4 < seen < 1 - 2e-4
    for least, share in ((seen - 1e-4, 0.3), (seen + 1e-4, 0.0)):
        changes = {"least_presence": least, "threshold": threshold}
        settings = model.recipe.inference.model_copy(update=changes)
        expected = in_memory(image, model, settings)
        out = segment_stack(lazy_stack(image), model, tmp_path / f"{share}.ome.zarr", settings)
        found = result(out)
        assert (found > 0).mean() >= share
        assert found.any() == expected.mask.any() == (share > 0)
        decided = np.abs(alone.probabilities[..., 0] - threshold) > 1e-3
        np.testing.assert_array_equal(found[decided], expected.mask[decided])
