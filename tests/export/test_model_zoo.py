"""Packages for bioimage.io: what is in them, and that its own program checks and runs them."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.cli import main
from napari_unet.export.models.model_page import documentation
from napari_unet.export.models.model_zoo import preprocessing
from napari_unet.models.card import ModelCard
from napari_unet.models.model import Model, load_model, save_model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import build_network
from napari_unet.networks.transfer import use_pretrained
from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe
from support.errors import cli_error

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

pytest.importorskip("onnx")
yaml = pytest.importorskip("yaml")
pytest.importorskip("bioimageio.spec")

KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "image": ({}, {}),
    "robust": ({"intensities": "robust"}, {"separation": "distance"}),
    "dataset": (
        {"intensities": "dataset", "mean": (0.2, 0.3), "deviation": (0.1, 0.2), "channels": 2, "scale": 0.5},
        {"classes": 2, "activation": "softmax", "input_channels": 2},
    ),
    "range": ({"intensities": "range"}, {"padding": "valid"}),
    "lite0": ({}, {"name": "encoder_unet", "encoder": "EfficientNetLite0"}),
    "volumes": ({}, {"dimensions": "3d", "flat_levels": 1}),
    "neighbours": ({"channels": 3}, {"dimensions": "2.5d", "slices": 3, "input_channels": 3}),
}
SAID = ["--author", "Ada Example; Institute of Tests", "--author", "Bo", "--licence", "CC-BY-4.0"]


def package(folder: Path, kind: str, *flags: str) -> Path:
    """Train nothing, save, and export with the command."""
    prepared, options = KINDS[kind]
    settings = NetworkSettings(filters=4, depth=2, **options)
    names = ("nucleus",) if settings.classes == 1 else ("2nd class", "Zellkörper")
    model = Model(
        Recipe(network=settings), Normalization(**prepared), names, build_network(settings),
        {"data": {"name": "made up"}, "scores": {"validation_iou": 0.625}},
    )  # fmt: skip
    if published := use_pretrained(model.network, settings, ""):
        model.provenance["pretrained"] = asdict(published)
    save_model(model, folder / "model")
    command = ["export", "--model", str(folder / "model"), "--to", "bioimageio", "--out"]
    assert main([*command, str(folder / "out.zip"), *SAID, *flags]) == 0
    return folder / "out.zip"


def test_what_is_in_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(package(tmp_path, "dataset", "--title", "Cells: ours!")) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    described = yaml.safe_load(files["rdf.yaml"])
    assert described["name"] == "Cells ours"
    assert described["license"] == "CC-BY-4.0"
    assert described["authors"] == [
        {"name": "Ada Example", "affiliation": "Institute of Tests"},
        {"name": "Bo"},
    ]
    assert described["outputs"][0]["axes"][1]["channel_names"] == ["class_2nd_class", "zellk_rper"]
    read = {n: np.load(io.BytesIO(files[f"test_{n}.npy"])) for n in ("input", "output")}
    assert read["input"].shape == (1, 2, 256, 256)
    assert 0 <= read["input"].min() < read["input"].max() <= 1
    mean, deviation = (np.array(v)[None, :, None, None] for v in ((0.2, 0.3), (0.1, 0.2)))
    prepared = ((read["input"] - mean) / deviation).astype(np.float32)
    wanted = load_model(tmp_path / "model").outputs(prepared.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(read["output"].transpose(0, 2, 3, 1), wanted, atol=1e-5)
    page = files["README.md"].decode()
    assert "IoU 0.625" in page
    assert "Resize images by 0.5" in page
    assert "Zellkörper" in page


def test_the_page_says_which_pieces_are_background(tmp_path: Path) -> None:
    settings = NetworkSettings(filters=4, depth=2, separation="distance")

    def page(least: float) -> str:
        recipe = Recipe(network=settings, inference=InferenceSettings(least_depth=least, threshold=0.4))
        model = Model(recipe, Normalization(), ("nucleus",), build_network(settings))
        card = ModelCard.read(save_model(model, tmp_path / f"{least}"))
        return documentation(card, "Nuclei", model.sizes)

    said = "above 0.4. Pieces of it that are nowhere deeper than 0.45 are background."
    assert said in page(0.45)
    assert "nowhere deeper" not in page(0.0)


def test_volumes_have_an_axis_z(tmp_path: Path) -> None:
    with zipfile.ZipFile(package(tmp_path, "volumes")) as archive:
        described, page = yaml.safe_load(archive.read("rdf.yaml")), archive.read("README.md").decode()
        image = np.load(io.BytesIO(archive.read("test_input.npy")))
        output = np.load(io.BytesIO(archive.read("test_output.npy")))
    (given,) = described["inputs"]
    assert [axis["type"] for axis in given["axes"]] == ["batch", "channel", "space", "space", "space"]
    assert [axis["id"] for axis in given["axes"][2:]] == ["z", "y", "x"]
    assert given["axes"][2]["size"] == {"min": 2, "step": 2}
    assert image.shape == output.shape == (1, 1, 16, 64, 64)
    assert "3d" in described["tags"]
    assert "Z is 2 slices plus any multiple of 2" in page
    with zipfile.ZipFile(package(tmp_path / "other", "neighbours")) as archive:
        page = archive.read("README.md").decode()
    assert "The channels are those of 3 slices of a volume" in page


def test_weights_of_others_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(package(tmp_path, "lite0")) as archive:
        described, page = yaml.safe_load(archive.read("rdf.yaml")), archive.read("README.md").decode()
    assert described["cite"][0]["text"] == "The network: U-Net on a published encoder"
    assert described["cite"][1] == {
        "text": "Its encoder started from: ImageNet weights of EfficientNet-Lite0",
        "url": "https://arxiv.org/abs/1905.11946",
    }
    for words in ("The TensorFlow Authors, ML Illustrated", "spdx.org/licenses/Apache-2.0"):
        assert words in page
    with zipfile.ZipFile(package(tmp_path / "plain", "image")) as archive:
        assert len(yaml.safe_load(archive.read("rdf.yaml"))["cite"]) == 1
        assert "Apache" not in archive.read("README.md").decode()


def test_preprocessing_in_their_words() -> None:
    steps = [s.model_dump(mode="json") for s in preprocessing(Normalization(intensities="image"))]
    assert [s["id"] for s in steps] == ["ensure_dtype", "zero_mean_unit_variance"]
    assert steps[1]["kwargs"]["axes"] == ["y", "x"]
    for options in (KINDS["range"][0], KINDS["robust"][0]):
        assert [s.id for s in preprocessing(Normalization(**options))] == ["ensure_dtype"]


def test_licence_and_authors_are_asked_for(tmp_path: Path) -> None:
    package(tmp_path, "image")
    command = ["export", "--model", str(tmp_path / "model"), "--to", "bioimageio"]
    again = [*command, "--out", str(tmp_path / "other.zip")]
    assert cli_error(*again).code == "settings.authors.missing"
    assert cli_error(*again, "--author", "Ada").code == "settings.licence.unknown"
    assert cli_error(*command, *SAID, "--out", tmp_path / "out.zip").code == "output.exists"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "out.zip"]


CHECK = """
import sys
from bioimageio.core import load_model_description, test_description
summary = test_description(load_model_description(sys.argv[1], perform_io_checks=True), weight_format="onnx")
sys.exit(0 if summary.status == "passed" else summary.model_dump_json(indent=1)[:4000])
"""


@pytest.mark.parametrize("kind", KINDS)
def test_their_program_checks_and_runs_it(tmp_path: Path, kind: str) -> None:
    """In a process of its own: it leaves files open."""
    pytest.importorskip("bioimageio.core")
    pytest.importorskip("onnxruntime")
    file = package(tmp_path, kind)
    ended = subprocess.run(
        [sys.executable, "-c", CHECK, str(file)], capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
