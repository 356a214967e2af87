"""Recipes of images that are in no data set, of parts of images, and of masks that a person made."""

from __future__ import annotations

import csv
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.data.file_names import unique_stems
from napari_unet.data.files.pixel_size import PixelSize
from napari_unet.data.lossless_images import encode_exactly, read_exactly
from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.data.masks.mask_reading import MaskReading, reading_masks
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.engine.inline import run_inline
from napari_unet.engine.task import FromCaller
from napari_unet.inference.edits.object_edits import ObjectEdit
from napari_unet.session.export_masks import current_masks
from napari_unet.session.images.collection import Collection
from napari_unet.session.quality.score_table import ScoreTable
from napari_unet.session.run_history import _taught
from napari_unet.settings import FineTuneSettings
from napari_unet.workflow.export.export_task import ExportTask
from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask
from napari_unet.workflow.finetune.train_version import TrainVersionTask
from napari_unet.workflow.inputs.image_reference import OPENED_FROM, CallReference
from napari_unet.workflow.inputs.labelled_images import LabelledImage, labelled_images
from napari_unet.workflow.replay.recorded_images import given_data
from napari_unet.workflow.replay.run_record import ExportRun, FineTuneRun, RunRecord, SegmentRun, TrainRun
from napari_unet.workflow.replay.save_record import SaveRecordTask
from napari_unet.workflow.segment.prediction import Region
from napari_unet.workflow.train.recipes import recipe
from support.errors import cli_error
from support.folders import contents, weights_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.session.session import Session

pytestmark = pytest.mark.slow

NOISE = np.random.default_rng(0)


@pytest.fixture
def session(open_session: Callable[..., Session], grey_model: Path) -> Session:
    return open_session(grey_model)


class Failures(list[str]):
    def __init__(self, session: Session) -> None:
        super().__init__()
        session.runner.failed.connect(lambda sentence, _: self.append(sentence))


def blobs(shape: tuple[int, int], dtype: Any = np.uint8) -> NDArray[Any]:
    """(Y, X, 1) with structure of some pixels, so that masks have pieces of all sizes."""
    coarse = np.kron(NOISE.random((shape[0] // 6 + 1, shape[1] // 6 + 1)), np.ones((6, 6)))
    values = coarse[: shape[0], : shape[1]] + 0.2 * NOISE.random(shape)
    return (values * 200).astype(dtype)[..., None]


def plain(name: str, pixels: NDArray[Any], **about: Any) -> Sample:
    """As a layer of napari gives it."""
    return Sample(
        name,
        lambda: pixels,
        image_name=name,
        load_region=lambda rows, columns: pixels[rows, columns],
        **about,
    )


def show(session: Session, *samples: Sample) -> Collection:
    collection = Collection("layers", samples)
    session.workspace.show(collection)
    return collection


def save(session: Session, kind: str, path: Path) -> RunRecord:
    saved: list[Path] = []
    session.history.save(kind, path, saved.append)
    assert saved == [path]
    return RunRecord.load(path)


def repeat(path: Path, out: Path) -> dict[str, NDArray[Any]]:
    """Run a recipe; the masks by the names of their files."""
    assert main(["run", str(path), "--out", str(out)]) == 0
    return {f.stem: decode_labels(f.read_bytes(), f.name) for f in sorted(out.glob("*.png"))}


def masks_of(session: Session) -> dict[str, NDArray[np.uint8]]:
    found = {
        e: session.workspace.mask(e)
        for e in (session.workspace.collection.ids if session.workspace.collection else ())
    }
    return {name: mask for name, mask in found.items() if mask is not None}


def assert_same(repeated: dict[str, NDArray[Any]], shown: dict[str, NDArray[np.uint8]]) -> None:
    stems = unique_stems(shown)
    assert list(repeated) == sorted(stems.values())
    for name, mask in shown.items():
        assert 0.05 < float((mask > 0).mean()) < 0.95
        np.testing.assert_array_equal(repeated[stems[name]] > 0, mask > 0)


def test_own_images_of_every_dtype_are_kept_beside_the_recipe(session: Session, tmp_path: Path) -> None:
    odd = blobs((50, 71), np.float64)
    odd[3, 4] = np.nan
    show(
        session,
        plain("p [0]", blobs((40, 60), np.uint16)),
        plain("p [1]", odd),
        plain("q", blobs((33, 64), np.float32) - 90),
        plain("flags", blobs((64, 64)) > 100),
    )
    session.segment(session.workspace.collection.ids if session.workspace.collection else ())
    shown = masks_of(session)
    kept = save(session, "segment", tmp_path / "mine.json")
    assert isinstance(kept.run, SegmentRun)
    assert [image.id for image in kept.run.images] == ["p [0]", "p [1]", "q", "flags"]
    assert {p.parent.name for image in kept.run.images for p in [image.place.found]} == {"mine-images"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine-images", "mine.json"]
    assert_same(repeat(tmp_path / "mine.json", tmp_path / "out"), shown)


def test_recipe_and_images_may_move_together(session: Session, tmp_path: Path) -> None:
    show(session, plain("one", blobs((40, 40))))
    session.segment(["one"])
    save(session, "segment", tmp_path / "a" / "r.json")
    shown = masks_of(session)
    (tmp_path / "a").rename(tmp_path / "b")
    assert_same(repeat(tmp_path / "b" / "r.json", tmp_path / "out"), shown)


def test_a_file_that_holds_the_pixels_is_named_instead(session: Session, tmp_path: Path) -> None:
    stack = np.stack([blobs((40, 48))[..., 0] for _ in range(3)])
    file = tmp_path / "stack.tif"
    tifffile.imwrite(file, stack, photometric="minisblack")
    about = {"properties": {OPENED_FROM: str(file)}}
    changed = np.where(stack[1] > 100, 0, stack[1])[..., None]
    show(session, plain("s [2]", stack[2][..., None], **about), plain("s [1]", changed, **about))
    session.segment(["s [2]"])
    kept = save(session, "segment", tmp_path / "r.json")
    assert isinstance(kept.run, SegmentRun)
    assert (kept.run.images[0].place.found, kept.run.images[0].name) == (file, "stack_002")
    assert not (tmp_path / "r-images").exists()
    assert_same(repeat(tmp_path / "r.json", tmp_path / "out"), {"s [2]": masks_of(session)["s [2]"]})
    session.segment(["s [2]", "s [1]"])
    kept = save(session, "segment", tmp_path / "r.json")
    assert [f.name for f in (tmp_path / "r-images").iterdir()] == ["s _1_.tif"]
    assert_same(repeat(tmp_path / "r.json", tmp_path / "again"), masks_of(session))
    tifffile.imwrite(file, stack[::-1], photometric="minisblack")
    assert main(["run", str(tmp_path / "r.json"), "--out", str(tmp_path / "no")]) == 2


def test_parts_of_an_image(session: Session, tmp_path: Path, grey_model: Path) -> None:
    """Two that overlap: only what they span is kept, and the later one counts."""
    pixels = blobs((150, 180))
    show(session, plain("large", pixels))
    session.workspace.set_postprocessing(0.5, 12)
    for region in (Region(20, 30, 90, 120), Region(60, 80, 140, 150)):
        session.segment(["large"], region, (150, 180))
    shown = masks_of(session)
    kept = save(session, "segment", tmp_path / "r.json")
    assert isinstance(kept.run, SegmentRun)
    (image,) = kept.run.images
    assert image.regions == ((20, 30, 90, 120), (60, 80, 140, 150))
    assert (image.part, image.shape) == ((20, 30, 140, 150), (150, 180))
    np.testing.assert_array_equal(read_exactly(image.place.found), pixels[20:140, 30:150])
    repeated = repeat(tmp_path / "r.json", tmp_path / "out")
    assert repeated["large"].shape == (150, 180)
    assert_same(repeated, shown)
    assert not repeated["large"][:20].any()


def test_a_part_of_an_image_of_a_data_set(session: Session, tmp_path: Path) -> None:
    from napari_unet.data.synthetic import write_synthetic

    salt = write_synthetic("salt", tmp_path / "salt", 3)
    dataset = open_dataset(salt)
    session.workspace.show(Collection(dataset.name, dataset.samples, dataset))
    first = dataset.samples[0].id
    session.segment([first], Region(10, 0, 80, 60), (101, 101))
    shown = masks_of(session)
    kept = save(session, "segment", tmp_path / "r.json")
    assert isinstance(kept.run, SegmentRun)
    assert kept.run.images[0].format == "tgs-salt"
    assert not (tmp_path / "r-images").exists()
    np.testing.assert_array_equal(repeat(tmp_path / "r.json", tmp_path / "out")[first] > 0, shown[first] > 0)


def test_pixels_that_changed_since_are_refused(session: Session, tmp_path: Path) -> None:
    pixels = blobs((40, 40))
    show(session, plain("one", pixels))
    session.segment(["one"])
    pixels[5, 5] += 1
    failures = Failures(session)
    session.history.save("segment", tmp_path / "r.json", lambda _: pytest.fail("saved"))
    assert len(failures) == 1
    assert failures[0].startswith("the pixels of one are others now than those that were segmented")
    assert not list(tmp_path.iterdir())


def export(session: Session, out: Path, formats: tuple[str, ...], sizes: Any = None, **options: Any) -> None:
    assert session.workspace.collection is not None
    ids = tuple(
        i for i, e in session.workspace.collection.entries.items() if e.prediction or e.corrected is not None
    )
    source = current_masks(session.workspace, ids, sizes)
    task = ExportTask(source, out, formats, **options)
    session.runner.run(
        task,
        len(ids),
        lambda _: None,
        lambda _: session.history.exported(task, source, session.workspace.inference),
    )


def all_of_it_is_one(mask: np.ndarray, objects: np.ndarray) -> ObjectEdit:
    return ObjectEdit(mask, mask > 0)


def test_masks_that_a_person_corrected_are_exported_as_they_were(session: Session, tmp_path: Path) -> None:
    """Corrected, predicted, predicted in part, drawn from nothing: objects cut by the shape of all."""
    show(session, *(plain(f"i{n}", blobs((60, 66))) for n in range(4)))
    session.workspace.inference = session.workspace.inference.model_copy(update={"objects": "probability"})
    session.segment(["i0", "i1"])
    session.segment(["i2"], Region(0, 6, 50, 60), (60, 66))
    drawn = np.zeros((60, 66), np.uint8)
    drawn[5:30, 5:30] = 1
    drawn[20:50, 20:50] = 1
    mask = session.workspace.mask("i0")
    assert mask is not None
    session.painting.correct("i0", np.where(drawn > 0, 1 - mask, mask).astype(np.uint8))
    session.painting.correct("i3", drawn)
    # Two objects of one that is predicted become one.
    session.painting.edit_objects("i1", all_of_it_is_one, "merge objects")
    sizes = {"i0": PixelSize(1 / 3, 0.25), "i1": PixelSize(2.0, 2.0, "nm")}
    formats = ("npy", "run-lengths", "measurements", "ome-tiff")
    export(session, tmp_path / "first", formats, sizes, numbers="objects", pattern="{name}-{index}")
    session.painting.correct("i0", np.zeros((60, 66), np.uint8))  # comes too late
    kept = save(session, "export", tmp_path / "r.json")
    assert isinstance(kept.run, ExportRun)
    assert [image.mask is not None for image in kept.run.images] == [True, True, False, True]
    assert [image.mask is not None and "objects" in image.holds for image in kept.run.images] == [
        False, True, False, False,
    ]  # fmt: skip
    assert [image.predicted for image in kept.run.images] == [True, True, True, False]
    assert main(["run", str(tmp_path / "r.json"), "--out", str(tmp_path / "again")]) == 0
    first, again = contents(tmp_path / "first"), contents(tmp_path / "again")
    assert len(first) == 4 * 2 + 2
    assert list(again) == list(first)
    for name in first:
        if name.endswith(".ome.tif"):  # has a number of its own
            np.testing.assert_array_equal(*(tifffile.imread(tmp_path / f / name) for f in ("first", "again")))
            continue
        assert again[name] == first[name], name


def test_corrected_masks_of_a_data_set(session: Session, tmp_path: Path) -> None:
    from napari_unet.data.synthetic import write_synthetic

    salt = write_synthetic("salt", tmp_path / "salt", 3)
    dataset = open_dataset(salt)
    session.workspace.show(Collection(dataset.name, dataset.samples, dataset))
    ids = [s.id for s in dataset.samples]
    session.segment(ids)
    session.painting.correct(ids[1], np.tri(101, dtype=np.uint8))
    export(session, tmp_path / "first", ("npy",))
    kept = save(session, "export", tmp_path / "r.json")
    assert isinstance(kept.run, ExportRun)
    assert [image.format for image in kept.run.images] == ["tgs-salt"] * 3
    assert [f.name for f in (tmp_path / "r-masks").iterdir()] == [f"{ids[1]}.tif"]
    assert not (tmp_path / "r-images").exists()
    assert main(["run", str(tmp_path / "r.json"), "--out", str(tmp_path / "again")]) == 0
    assert contents(tmp_path / "first") == contents(tmp_path / "again")


def test_an_export_of_drawn_masks_needs_no_model(session: Session, tmp_path: Path) -> None:
    show(session, plain("one", blobs((20, 20))))
    session.painting.correct("one", np.tri(20, dtype=np.uint8))
    export(session, tmp_path / "first", ("npy",))
    kept = save(session, "export", tmp_path / "r.json")
    assert isinstance(kept.run, ExportRun)
    assert kept.run.model is None
    assert main(["run", str(tmp_path / "r.json"), "--out", str(tmp_path / "again")]) == 0
    assert contents(tmp_path / "first") == contents(tmp_path / "again")


def labelled(name: str, seed: int) -> Sample:
    random = np.random.default_rng(seed)
    pixels = (random.random((64, 64, 1)) * 80).astype(np.uint8)
    objects = np.zeros((64, 64), np.int32)
    objects[4:30, 8:40], objects[34:60, 20:60] = 1, 2
    pixels[objects > 0] += 120
    mask = ReferenceMask((objects > 0).astype(np.uint8), objects)
    return Sample(name, lambda: pixels, lambda: mask, image_name=name, load_region=lambda r, c: pixels[r, c])


def test_a_report_on_layers_has_the_same_scores_again(session: Session, tmp_path: Path) -> None:
    show(session, *(labelled(f"l [{n}]", n) for n in range(3)))
    session.segment(session.workspace.collection.ids if session.workspace.collection else ())
    pages: list[Path] = []
    ScoreTable(session.workspace, session.runner, session.history).write_report(
        tmp_path / "first", pages.append
    )
    assert len(pages) == 1
    save(session, "report", tmp_path / "r.json")
    assert main(["run", str(tmp_path / "r.json"), "--out", str(tmp_path / "again")]) == 0
    first, again = (
        list(csv.DictReader((tmp_path / f / "iou.csv").read_text().splitlines())) for f in ("first", "again")
    )
    assert len(first) == 3
    assert first[0]["f1_50"]
    assert first == again


def test_what_was_learned_from_is_in_the_recipe(session: Session, grey_model: Path, tmp_path: Path) -> None:
    """Not what the project holds by the time that it is saved."""
    samples = [labelled(f"l [{n}]", n) for n in range(4)]
    lesson = samples[0].read_mask().labels.copy()
    verified = np.ones((64, 64), np.float32)
    verified[:, 32:] = 0

    def reference(sample: Sample, mask: bool) -> CallReference:
        taken = FromCaller(sample.read_mask) if mask else None
        return CallReference(sample.id, FromCaller(sample.read_image), taken)

    task = FineTuneTask(
        grey_model,
        (LabelledImage(reference(samples[0], False), lesson, verified, "group"),),
        tmp_path / "first",
        FineTuneSettings(megapixels=0.02, patch=32, batch_pixels=4096),
        others=tuple(reference(s, False) for s in samples[2:]),
        judges=(reference(samples[1], True),),
        reserve=False,
    )
    first = run_inline(task)
    session.history.fine_tuned(task)
    kept = save(session, "learn", tmp_path / "r.json")
    assert isinstance(kept.run, FineTuneRun)
    assert kept.run.images[0].holds == ("labels", "verified")
    assert not kept.by_time
    assert main(["run", str(tmp_path / "r.json"), "--out", str(tmp_path / "again")]) == 0
    assert first.replayed == "own predictions"
    assert weights_in(tmp_path / "again") == weights_in(tmp_path / "first") != weights_in(grey_model)
    scores = [
        [row["held_out_iou"] for row in csv.DictReader((tmp_path / f / "metrics.csv").read_text().split())]
        for f in ("first", "again")
    ]
    assert scores[0] == scores[1]


def test_a_training_on_layers(session: Session, tmp_path: Path) -> None:
    samples = {f"l [{n}]": labelled(f"l [{n}]", n) for n in range(6)}
    quick = recipe("fast", ["epochs=1", "steps_per_epoch=2", "filters=2", "batch_size=2", "depth=2"])
    task = TrainVersionTask(
        labelled_images("the layers", samples, None, ("cell",)), tmp_path / "first", quick
    )
    run_inline(task)
    session.history.trained(task)
    kept = save(session, "learn", tmp_path / "r.json")
    assert isinstance(kept.run, TrainRun)
    assert kept.run.classes == ("cell",)
    assert main(["run", str(tmp_path / "r.json"), "--out", str(tmp_path / "again")]) == 0
    assert weights_in(tmp_path / "again") == weights_in(tmp_path / "first")
    assert (tmp_path / "again/split.json").read_bytes() == (tmp_path / "first/split.json").read_bytes()


@pytest.mark.parametrize(("said", "highest"), [("objects", 1), ("classes", 4)])
def test_how_masks_of_a_data_set_were_read_is_recorded(
    tmp_path: Path, said: Literal["objects", "classes"], highest: int
) -> None:
    from PIL import Image

    labels = np.zeros((40, 40), np.uint8)
    for number in range(1, 5):
        labels[number * 8 : number * 8 + 4, 5:20] = number
    for folder in ("images", "masks"):
        (tmp_path / f"set/{folder}").mkdir(parents=True)
        for name in "abc":
            Image.fromarray(labels * 30 if folder == "images" else labels).save(
                tmp_path / f"set/{folder}/{name}.png"
            )
    with reading_masks(MaskReading(said)):
        dataset = open_dataset(tmp_path / "set")
    given = labelled_images("set", {s.id: s for s in dataset.samples}, dataset, dataset.classes)
    opened = given.open()
    assert opened.masks_are == said  # the model's provenance tells it
    assert opened.mask(opened.samples[0]).labels.max() == highest
    run = TrainRun(recipe=recipe("fast"), name="set", classes=dataset.classes)
    run_inline(SaveRecordTask(run, tmp_path / "m", tmp_path / "r.json", {"images": _taught(given.items)}))
    kept = RunRecord.load(tmp_path / "r.json").run
    assert isinstance(kept, TrainRun)
    assert {image.masks_are for image in kept.images} == {said}
    again = given_data(kept.name, kept.images, kept.classes).open()
    assert again.mask(again.samples[0]).labels.max() == highest


@pytest.fixture
def saved(session: Session, tmp_path: Path) -> Path:
    show(session, plain("one", blobs((40, 40))))
    session.segment(["one"])
    save(session, "segment", tmp_path / "r.json")
    return tmp_path / "r.json"


def test_spoilt_and_missing_images_are_refused(saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "r-images" / "one.tif"
    file.write_bytes(file.read_bytes()[:-20])
    error = cli_error("run", saved, "--out", tmp_path / "out")
    assert error.code == "data.record.changed"
    assert str(file) in error.sentence
    error = cli_error("run", saved, "--out", tmp_path / "out", "--anyway")
    assert error.code == "data.image.unreadable"
    assert "one.tif" in error.sentence
    shutil.rmtree(file.parent)
    error = cli_error("run", saved, "--out", tmp_path / "out", "--anyway")
    assert error.code == "data.record.changed"
    assert str(file) in error.sentence
    assert not (tmp_path / "out").exists()


def test_saving_again_replaces_only_what_the_recipe_owns(
    saved: Path, session: Session, tmp_path: Path
) -> None:
    collection = session.workspace.collection
    assert collection is not None
    collection.update([plain("two", blobs((40, 40)))])
    session.segment(["two"])
    save(session, "segment", saved)
    assert [f.name for f in (tmp_path / "r-images").iterdir()] == ["two.tif"]
    mine = tmp_path / "r-images" / "mine.txt"
    mine.write_text("keep me")
    before = contents(tmp_path)
    failures = Failures(session)
    session.history.save("segment", saved, lambda _: pytest.fail("saved"))
    assert "is there already, where images of the run record would go" in failures[0]
    assert contents(tmp_path) == before


def test_a_full_disk_leaves_nothing(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(session, *(plain(f"i{n}", blobs((40, 40))) for n in range(2)))
    session.segment(["i0", "i1"])
    failures = Failures(session)
    whole = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.stem == "i1":
            raise OSError(28, "No space left on device")
        return whole(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        session.history.save("segment", tmp_path / "r.json", lambda _: pytest.fail("saved"))
    assert not list(tmp_path.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr("napari_unet.workflow.replay.run_record.write_text", partial(_refuse, failures))
        session.history.save("segment", tmp_path / "r.json", lambda _: pytest.fail("saved"))
    assert not list(tmp_path.iterdir())
    assert len(failures) == 2
    assert "No space left on device" in failures[0]


def _refuse(failures: list[str], path: Path, text: str) -> None:
    from napari_unet.errors import OutputError

    raise OutputError(f"{path} cannot be written", code="output.unwritable", got="No space left on device")


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "uint16", "int32", "uint64", "float16", "float64"]
)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_pixels_come_back_as_they_were(dtype: str, channels: int, tmp_path: Path) -> None:
    image = (NOISE.random((9, 11, channels)) * 250).astype(dtype)
    if channels in (2, 4):
        image[..., -1] = True if dtype == "bool" else np.array(255).astype(dtype)  # as an opaque alpha
    suffix, data = encode_exactly(image, "x")
    (tmp_path / f"x{suffix}").write_bytes(data)
    again = read_exactly(tmp_path / f"x{suffix}")
    assert again.dtype == image.dtype
    np.testing.assert_array_equal(again, image)
