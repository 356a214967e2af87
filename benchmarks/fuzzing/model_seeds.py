"""Whole models, projects and run records to begin with; these need Keras."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fuzzing.seeds import Files, encoded, files_of, mask, packed, picture

CLASSES = ("foreground",)


def model_files() -> Files:
    """A U-Net of 200 weights."""
    from napari_unet.models.model import Model, save_model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe

    network = NetworkSettings(filters=1, depth=1)
    recipe = Recipe(
        name="tiny", network=network, inference=InferenceSettings(flips="none", tile=64, overlap=16)
    )
    about: dict[str, Any] = {
        "data": {"name": "set", "images": 3},
        "split": {"train": ["a", "b"], "validation": [], "held_out": ["c"]},
        "scores": {"validation_iou": 0.5},
        "image_hashes": {"a": "0" * 32},
    }
    model = Model(recipe, Normalization(channels=1), CLASSES, build_network(network, 0), about)
    with TemporaryDirectory() as name:
        return files_of(save_model(model, Path(name) / "m"))


def model_seeds() -> list[Files]:
    """A model."""
    return [{f"model/{k}": v for k, v in model_files().items()}]


def ensemble_seeds() -> list[Files]:
    """An ensemble of two models, in a folder and in a zip."""
    from napari_unet.models.ensemble import Ensemble, Member, save_ensemble
    from napari_unet.models.model_folder import read_settings

    with TemporaryDirectory() as name:
        root = Path(name)
        for model in ("a", "b"):
            for file, data in model_files().items():
                (root / model).mkdir(exist_ok=True)
                (root / model / file).write_bytes(data)
        members = (Member(root / "a", 0.25), Member(root / "b", 0.75))
        save_ensemble(Ensemble(*read_settings(root / "a"), members), root / "both")
        files = files_of(root / "both")
    return [{f"model/{k}": v for k, v in files.items()}, {"model.zip": packed(files)}]


def import_seeds() -> list[Files]:
    """What Keras itself writes: .keras, HDF5 of the whole, weights alone."""
    import keras

    from napari_unet.networks.registry import build_network
    from napari_unet.settings import NetworkSettings

    settings = {
        "network": {"filters": 1, "depth": 1, "block": "plain", "normalization": "none"},
        "classes": ["a"],
    }
    network = build_network(NetworkSettings.model_validate(settings["network"]), 0)
    known = {"settings.json": json.dumps(settings).encode()}
    with TemporaryDirectory() as name:
        root = Path(name)
        out = []
        for file in ("a.keras", "a.h5", "a.weights.h5"):
            (network.save_weights if "weights" in file else keras.Model.save.__get__(network))(root / file)
            out.append({**known, file: (root / file).read_bytes()})
    return out


def project_seeds() -> list[Files]:
    """A project with versions of a model, strokes in masks and history, and strokes in the journal alone."""
    from napari_unet.data.catalog import open_dataset
    from napari_unet.project.corrections.stroke import Stroke
    from napari_unet.project.project import Project

    model = model_files()

    def put(folder: Path) -> None:
        for name, data in model.items():
            (folder / name).write_bytes(data)

    with TemporaryDirectory() as name:
        root = Path(name)
        for n in range(4):
            for kind, pixels in (("images", picture(seed=n)), ("masks", mask(n))):
                (root / "data" / kind).mkdir(parents=True, exist_ok=True)
                (root / "data" / kind / f"{n}.png").write_bytes(encoded(pixels, "PNG"))
        with Project.create(root / "project", open_dataset(root / "data")) as project:
            for identifier in project.ids[:3]:
                before = np.zeros((48, 48), np.uint8)
                after = before.copy()
                after[5:20, 7:30] = 1
                project.corrections.record(identifier, before, after)
                more = after.copy()
                more[30:40, 3:9] = 1
                project.corrections.record(identifier, after, more)
            project.models.add(put, scores={"iou": 0.5}, corrections={"0": 1}, keep=True)
            project.models.add(put, scores={"iou": 0.6}, corrections={"0": 2}, note="better")
        with Project.open(root / "project") as project:
            late = 100
            for identifier in project.ids[:2]:
                row = np.array([3], np.uint32), np.array([9], np.uint32)
                values = np.array([0], np.uint16), np.array([257], np.uint16)
                box = (40, 2, 42, 40)
                stroke = Stroke(late, identifier, 1e9, "paint", (48, 48), box, *row, *values)
                project.journal.append([stroke])
                late += 1
        files = {k: v for k, v in files_of(root).items() if not k.rsplit("/", 1)[-1].startswith(".lock")}
    content = json.loads(files["project/project.json"])
    content["data"] |= {"path": ""}
    content["settings"] = {"threshold": 0.5, "shown": ["a", 1]}
    files["project/project.json"] = json.dumps(content, indent=1).encode()
    return [files]


def record_seeds() -> list[Files]:
    """Run records: of a data set, and of images with masks beside the record."""
    from napari_unet.data.lossless_images import encode_exactly
    from napari_unet.settings import FineTuneSettings, Recipe
    from napari_unet.workflow.inputs.content_path import ContentPath
    from napari_unet.workflow.replay.recorded_images import RecordedImage
    from napari_unet.workflow.replay.run_record import FineTuneRun, RunRecord, SegmentRun, TrainRun

    lost = ContentPath(path="/nowhere/data", hash="0" * 32)
    model = ContentPath(path="nuclei", hash="0" * 32)
    tiff, raw = (encode_exactly(p[..., None], "a") for p in (picture(), picture("float64")))
    labels = encode_exactly((mask() // 255)[..., None], "a")
    files: Files = {f"record-images/a{tiff[0]}": tiff[1], f"record-images/b{raw[0]}": raw[1]}
    files[f"record-masks/a{labels[0]}"] = labels[1]
    first, second = ContentPath(path=f"record-images/a{tiff[0]}", hash="0"), f"record-images/b{raw[0]}"
    truth = ContentPath(path=f"record-masks/a{labels[0]}", hash="0")
    images = (
        RecordedImage(id="a", place=first, mask=truth, regions=((0, 0, 9, 9),), shape=(48, 48)),
        RecordedImage(id="b", place=ContentPath(path=second, hash="0"), part=(0, 0, 48, 48)),
    )
    runs = (
        SegmentRun(data=(lost,), model=model),
        TrainRun(data=lost, recipe=Recipe(), split={"train": ["a"]}),
        FineTuneRun(images=images, model=model, settings=FineTuneSettings()),
    )
    out = []
    for run in runs:
        record = RunRecord(program={"keras": "3"}, run=run, out="/nowhere/out")
        out.append({**files, "record.json": json.dumps(record.model_dump(mode="json")).encode()})
    return out


def state_seeds() -> list[Files]:
    """The state of a training that was interrupted."""
    from napari_unet.training.checkpoint import TrainingState, save_state

    arrays = [np.ones((3, 3), np.float32), np.zeros(4, np.float32)]
    state = TrainingState(3, 1, 2.0, arrays, arrays, arrays, arrays, history=[{"epoch": 1.0, "loss": 0.5}])
    with TemporaryDirectory() as name:
        save_state(state, Path(name) / "training-state.npz", "same")
        return [files_of(Path(name))]
