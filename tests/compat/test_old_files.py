"""Files that an earlier version wrote: they open, and hold what they held. See README.md."""

from __future__ import annotations

import csv
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_unet.cli import main
from napari_unet.data.files.lazy_stack import lazy_stack
from napari_unet.data.masks.mask_pixels import decode_labels
from napari_unet.data.sample import Sample
from napari_unet.data.split import Split
from napari_unet.engine.inline import run_inline
from napari_unet.models.card import ModelCard
from napari_unet.models.ensemble import load_any
from napari_unet.models.model import load_model
from napari_unet.models.model_folder import read_settings
from napari_unet.models.shipped import shipped_models
from napari_unet.project.project import Project
from napari_unet.workflow.large_images.segment_large import segment_stack
from napari_unet.workflow.replay.run_record import RunRecord, images_of
from napari_unet.workflow.segment.segment_samples import segment_samples
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
MADE_IN = "/home/anna/cells"
PAINTED = ("cell_0", "cell_1", "cell_6", "cell_2")
COMMANDS = {
    "train": "train",
    "segment": "segment",
    "evaluate": "evaluate",
    "evaluate-masks": "evaluate",
    "export": "export",
    "export-own": "export",
    "export-model": "export-model",
    "finetune": "finetune",
    "finetune-project": "finetune",
    "window-segment": "segment",
    "window-report": "evaluate",
    "window-export": "export",
    "window-finetune": "finetune",
    "window-train": "train",
}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old files, where the run files say that they are."""
    folder = tmp_path_factory.mktemp("old").resolve()
    with zipfile.ZipFile(HERE / "version-0.1.0.zip") as archive:
        archive.extractall(folder)
    for file in (folder / "runs").glob("*.json"):
        place = json.dumps(folder.as_posix())[1:-1]
        file.write_text(file.read_text(encoding="utf-8").replace(MADE_IN, place), encoding="utf-8")
    return folder


@pytest.fixture
def old(unpacked: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    folder = tmp_path / "old"
    shutil.copytree(unpacked, folder)
    return folder


@pytest.fixture(scope="module")
def arrays(unpacked: Path) -> dict[str, NDArray[Any]]:
    with np.load(unpacked / "expected.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def numbers(unpacked: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((unpacked / "expected.json").read_text(encoding="utf-8"))
    return content


def probabilities(model: Path, image: Path) -> NDArray[np.float32]:
    """What a model answers, in single precision and without flips."""
    from PIL import Image

    pixels = np.asarray(Image.open(image))[..., None]
    loaded = load_any(model)
    plain = loaded.recipe.inference.model_copy(update={"flips": "none"})
    (found,) = segment_samples([Sample("cell_0", lambda: pixels)], loaded, plain)
    return found.probabilities


def masks_in(folder: Path) -> dict[str, NDArray[Any]]:
    return {f.stem: decode_labels(f.read_bytes(), f.name) for f in sorted(folder.glob("*.png"))}


def assert_nearly_same(mask: NDArray[Any], expected: NDArray[Any]) -> None:
    """The same but for pixels near the threshold, which the precision of the processor decides."""
    assert mask.shape == expected.shape
    assert 0.05 < float((expected > 0).mean()) < 0.95
    assert int((mask != expected).sum()) <= 0.005 * expected.size


# models


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("model", "model"),
        ("model.zip", "model.zip"),
        ("ensemble", "ensemble"),
        ("v001", "project/models/v001"),
        ("v002", "project/models/v002"),
    ],
)
def test_models_answer_as_they_did(
    name: str, path: str, unpacked: Path, arrays: dict[str, NDArray[Any]]
) -> None:
    found = probabilities(unpacked / path, unpacked / "data/images/cell_0.png")
    expected = arrays[f"probabilities/{name}"]
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-3)


def without_new(now: Any, old: Any) -> Any:
    """What was there before, as it is now."""
    return {key: without_new(now[key], old[key]) for key in old} if isinstance(old, dict) else now


def test_settings_of_a_model_are_read_to_the_last(unpacked: Path, numbers: dict[str, Any]) -> None:
    settings, normalization, classes, provenance = read_settings(unpacked / "model")
    expected = numbers["model"]
    written = settings.model_dump(mode="json")
    for group, values in expected["recipe"].items():
        assert without_new(written[group], values) == values, group
    assert {k: normalization.model_dump(mode="json")[k] for k in expected["normalization"]} == expected[
        "normalization"
    ]
    assert classes == ("foreground",)
    assert provenance == expected["provenance"]
    card = ModelCard.read(unpacked / "model")
    assert card.trained_on == "data, 4 images"
    assert card.validation_iou == pytest.approx(0.840936, abs=1e-6)
    assert ModelCard.read(unpacked / "ensemble").members == (("model", 0.5), ("tuned", 0.5))


def test_the_models_that_come_with_the_program_open() -> None:
    assert set(shipped_models()) == {"membranes-3d", "nerve-and-vessel", "nuclei"}
    for name, path in shipped_models().items():
        model = load_model(path)
        assert ModelCard.read(path).name == name
        answer = model.probabilities(np.zeros((1, 64, 64, model.normalization.channels), np.float32))
        assert answer.shape == (1, 64, 64, len(model.classes))
        assert np.isfinite(answer).all()


# a project


def check_corrections(
    project: Project, arrays: dict[str, NDArray[Any]], numbers: dict[str, Any], skip: str = ""
) -> None:
    corrections = project.corrections
    assert set(corrections) == set(PAINTED)
    for identifier, expected in numbers["project"]["images"].items():
        if identifier == skip:
            continue
        correction = corrections[identifier]
        effort = correction.stats
        assert {
            "number": effort.number,
            "done": effort.done,
            "strokes": effort.strokes,
            "changed": effort.changed,
            "seconds": effort.seconds,
            "vouched": effort.verified,
        } == {k: v for k, v in expected.items() if k not in ("kinds", "part")}
        assert [version.kind for version in corrections.versions(identifier)] == expected["kinds"]
        assert corrections.part(identifier) == expected["part"]
        for part, pixels in (
            ("mask", correction.mask),
            ("vouched", correction.verified),
            ("prediction", correction.prediction),
        ):
            np.testing.assert_array_equal(
                pixels, arrays[f"project/{identifier}/{part}"], f"{identifier} {part}"
            )


def test_corrections_are_as_they_were_left(
    unpacked: Path, arrays: dict[str, NDArray[Any]], numbers: dict[str, Any]
) -> None:
    """Two strokes are in the journal only: they are taken up again."""
    with Project.open(unpacked / "project", read_only=True) as project:
        assert (project.restored.strokes, project.restored.images) == (2, 1)
        assert project.restored.problems == ()
        assert project.file.name == "Anna's cells"
        assert project.file.settings == {
            "model": "/home/anna/cells/model",
            "threshold": 0.45,
            "minimum_size": 7,
        }
        assert project.split.held_out == ("cell_6", "cell_7")
        check_corrections(project, arrays, numbers)
        assert project.corrections.total().strokes == 8
        assert project.images.check(8).good
    # By hand: the first stroke on cell_0 painted rows 2 to 8 of columns 3 to 19, and "erase" rows 30 to 35.
    mask, verified = arrays["project/cell_0/mask"], arrays["project/cell_0/vouched"]
    assert (mask[2:9, 3:20] == 1).all()
    assert (mask[:2, :5] == 255).all()
    assert (mask[30:36, 10:30] == 0).all()
    assert verified[:2, :5].all()
    assert not verified[20].any()  # the stroke there was taken back


def test_the_index_of_masks_is_taken(
    old: Path, arrays: dict[str, NDArray[Any]], numbers: dict[str, Any]
) -> None:
    """Of files that did not change since it was written nothing is read to know what they hold."""
    masks = old / "project" / "masks"
    for identifier, row in json.loads((masks / "index.json").read_text()).items():
        stamp, size = row["file"]
        file = masks / f"{identifier}.tif"
        assert file.stat().st_size == size
        if identifier == "cell_1":
            file.write_bytes(bytes(size))
        os.utime(file, ns=(stamp, stamp))
    with Project.open(old / "project", read_only=True) as project:
        assert project.restored.problems == ()
        effort = project.corrections.stats("cell_1")
        assert (effort.number, effort.done, effort.strokes, effort.verified) == (7, True, 1, 48)
        check_corrections(project, arrays, numbers, skip="cell_1")


def test_an_old_project_is_worked_on_and_stays_readable(
    old: Path, arrays: dict[str, NDArray[Any]], numbers: dict[str, Any]
) -> None:
    with Project.open(old / "project") as project:
        assert "cell_3" not in project.corrections
        empty = np.zeros((40, 48), np.uint8)
        painted = empty.copy()
        painted[3:9, 4:7] = 1
        project.corrections.record("cell_3", empty, painted)
        earlier = project.corrections["cell_0"].mask
        project.corrections.revert_to("cell_0", 1)
        assert 255 in earlier
        assert 255 not in project.corrections["cell_0"].mask
        project.corrections.undo("cell_0")
        np.testing.assert_array_equal(project.corrections["cell_0"].mask, earlier)
        assert project.save()
    with Project.open(old / "project") as project:
        assert project.restored.strokes == 0
        assert set(project.corrections) == {*PAINTED, "cell_3"}
        again = project.corrections["cell_3"]
        np.testing.assert_array_equal(again.mask, painted)
        np.testing.assert_array_equal(again.verified, painted > 0)
        assert (again.stats.strokes, again.stats.verified, again.stats.number) == (1, 18, 12)
        for identifier in PAINTED:
            for part in ("mask", "prediction"):
                np.testing.assert_array_equal(
                    getattr(project.corrections[identifier], part), arrays[f"project/{identifier}/{part}"]
                )


def test_versions_of_the_model(old: Path, numbers: dict[str, Any]) -> None:
    with Project.open(old / "project") as project:
        models = project.models
        found = [
            [v.number, v.parent, v.note, v.seconds, dict(v.corrections), dict(v.scores)]
            for v in models.versions()
        ]
        assert found == numbers["versions"]
        assert found[1][4] == {"cell_0": 4, "cell_1": 7, "cell_2": 9, "cell_6": 8}
        assert models.current is not None
        assert models.current.number == 2
        provenance = models.current.card().provenance
        assert [step["model"] for step in provenance["lineage"]] == ["model"]
        assert provenance["corrections"]["cell_1"]["vouched"] == 1.0
        assert models.roll_back().number == 1


def test_images_in_memory(unpacked: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with Project.open(unpacked / "memory-project", read_only=True) as project:
        assert project.file.data.kind == "memory"
        mask = project.corrections["m1"].mask
        np.testing.assert_array_equal(mask, arrays["memory-project/m1/mask"])
        assert mask.sum() == 4 * 24


# runs


@pytest.mark.parametrize("name", COMMANDS)
def test_run_files_open_and_nothing_that_went_in_counts_as_changed(name: str, unpacked: Path) -> None:
    found = RunRecord.load(unpacked / "runs" / f"{name}.json")
    assert found.run.command == COMMANDS[name]
    assert found.changes() == ()
    assert Path(found.out).is_relative_to(unpacked)
    images = images_of(found.run)
    assert bool(images) == name.startswith("window-")
    if name == "window-finetune":
        mask = images["images"][0].read_mask()
        assert mask.weights is not None
        assert mask.weights[:, :30].all()
        assert not mask.weights[:, 30:].any()
        assert images["images"][0].group == "group"


def repeat(unpacked: Path, name: str, out: Path) -> Path:
    assert main(["run", str(unpacked / "runs" / f"{name}.json"), "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("name", ["segment", "window-segment"])
def test_segmenting_is_repeated(
    name: str, unpacked: Path, tmp_path: Path, arrays: dict[str, NDArray[Any]]
) -> None:
    masks = masks_in(repeat(unpacked, name, tmp_path / "out"))
    expected = {k.split("/")[1]: v > 0 for k, v in arrays.items() if k.startswith(f"{name}/")}
    if name == "window-segment":  # the last of two
        expected = {"layer _2_": expected["layer [2]"]}
        assert not expected["layer _2_"][:4].any()
    assert list(masks) == sorted(expected)
    for one, mask in masks.items():
        assert_nearly_same(mask > 0, expected[one])


@pytest.mark.parametrize("name", ["export", "window-export"])
def test_exports_are_repeated(
    name: str, unpacked: Path, tmp_path: Path, arrays: dict[str, NDArray[Any]]
) -> None:
    out = repeat(unpacked, name, tmp_path / "out")
    found = sorted(out.glob("*.npy"))
    assert [f.stem for f in found] == sorted(k.split("/")[1] for k in arrays if k.startswith(f"{name}/"))
    for file in found:
        assert_nearly_same(np.load(file), arrays[f"{name}/{file.stem}"])
    if name == "window-export":  # a person painted the corner
        assert (np.load(found[0])[:6, :9] == 1).all()


def test_an_export_of_masks_of_the_data_is_repeated(unpacked: Path, tmp_path: Path) -> None:
    (file,) = repeat(unpacked, "export-own", tmp_path / "out").glob("*.json")
    assert len(json.loads(file.read_text(encoding="utf-8"))["images"]) == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "evaluate-masks", "window-report"])
def test_scores_are_repeated(name: str, unpacked: Path, tmp_path: Path, numbers: dict[str, Any]) -> None:
    out = repeat(unpacked, name, tmp_path / "out")
    rows = list(csv.DictReader((out / "iou.csv").read_text(encoding="utf-8").splitlines()))
    found = {row["image"]: float(row["iou"]) for row in rows}
    expected = {image: float(iou) for image, iou in numbers[name].items()}
    assert found == pytest.approx(expected, abs=1e-6 if name == "evaluate-masks" else 0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["window-finetune", "window-train"])
def test_learning_is_repeated(
    name: str, unpacked: Path, tmp_path: Path, arrays: dict[str, NDArray[Any]]
) -> None:
    """One or two steps, of which the precision of the processor decides little."""
    out = repeat(unpacked, name, tmp_path / "out")
    found = probabilities(out, unpacked / "data/images/cell_0.png")
    np.testing.assert_allclose(found, arrays[f"probabilities/{name}"], atol=0.02)
    assert (read_settings(out)[3]["split"] or {}).get("train")


@pytest.mark.slow
def test_a_training_of_a_data_set_is_repeated(
    unpacked: Path, tmp_path: Path, numbers: dict[str, Any]
) -> None:
    out = repeat(unpacked, "train", tmp_path / "out")
    settings, _, classes, provenance = read_settings(out)
    assert settings.network.filters == 2
    assert classes == ("foreground",)
    assert provenance["split"] == numbers["model"]["provenance"]["split"]
    assert provenance["steps"] == 60
    assert provenance["scores"]["validation_iou"] == pytest.approx(0.840936, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["finetune", "finetune-project"])
def test_learning_by_the_clock_is_repeated(name: str, unpacked: Path, tmp_path: Path) -> None:
    out = repeat(unpacked, name, tmp_path / "out")
    provenance = read_settings(out)[3]
    learned = {identifier for identifier, about in provenance["corrections"].items() if not about["held_out"]}
    expected = {"cell_0", "cell_1", "cell_2"} if name == "finetune-project" else set()
    assert learned >= expected
    assert len(provenance["lineage"]) == 1


@pytest.mark.slow
def test_an_export_of_a_model_is_repeated(unpacked: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.zip"
    assert main(["run", str(unpacked / "runs/export-model.json"), "--out", str(out)]) == 0
    with zipfile.ZipFile(out) as archive:
        text = archive.read("rdf.yaml").decode()
    assert "Anna B." in text
    assert "CC0-1.0" in text


# what was stopped


@pytest.mark.slow
def test_a_training_that_was_stopped_resumes(old: Path) -> None:
    # fast started with a U-Net then.
    small = recipe(
        "fast",
        [
            "network.name=unet", "epochs=3", "steps_per_epoch=2", "filters=2", "batch_size=2", "depth=1",
            "patch=32",
        ],
    )  # fmt: skip
    epochs: list[float] = []
    run_inline(
        TrainTask(
            old / "data",
            old / "stopped-training",
            small,
            resume=True,
            on_epoch=lambda row: epochs.append(row["epoch"]),
        )
    )
    assert epochs == [2, 3]
    assert Split.load(old / "stopped-training" / "split.json").train
    assert read_settings(old / "stopped-training")[3]["steps"] == 6


def test_a_large_image_that_was_stopped_resumes(old: Path, arrays: dict[str, NDArray[Any]]) -> None:
    y, x = np.mgrid[:300, :260]
    image: Any = np.where((y // 20 + x // 26) % 2, 170, 60).astype(np.uint8)
    model = load_model(old / "model")
    settings = model.recipe.inference.model_copy(
        update={"batch_pixels": 1, "tile": 64, "flips": "none", "minimum_size": 3}
    )
    out = segment_stack(lazy_stack(image), model, old / "large.ome.zarr", settings)
    assert not (old / "large.ome.zarr.unfinished").exists()
    found = np.asarray(zarr.open_group(out, mode="r")["0"])
    assert_nearly_same(found, arrays["large"])
