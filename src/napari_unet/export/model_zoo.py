"""Models as packages of bioimage.io, which its programs check and run."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet import __version__
from napari_unet.atomic import atomic_path
from napari_unet.data.synthetic import make_pictures
from napari_unet.errors import OutputError, SettingsError
from napari_unet.export.model_page import documentation
from napari_unet.export.onnx_model import onnx_model, output_names
from napari_unet.models.normalization import to_float
from napari_unet.networks.onnx_graph import OPSET
from napari_unet.networks.onnx_program import INPUT, OUTPUT
from napari_unet.networks.registry import architecture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.models.card import ModelCard
    from napari_unet.models.model import Model
    from napari_unet.models.normalization import Normalization

FORMAT = "0.5.12"  # of the description
SIDE = 256  # pixels of the test image, or the next that the network takes
SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
NOT_IN_TITLES = re.compile(r"[^A-Za-z0-9_+\- ()]+")
SHORTEST, LONGEST = 5, 128  # letters of a title, by the rules of bioimage.io


@dataclass(frozen=True)
class Attribution:
    """Who made a model, and what others may do with it.

    Attributes
    ----------
    authors : tuple of str
        "Name" or "Name; affiliation", at least one.
    licence : str
        Identifier from spdx.org/licenses, such as "CC-BY-4.0".
    title : str
        What the model is called; by default after its folder.
    """

    authors: tuple[str, ...]
    licence: str
    title: str = ""

    def check(self) -> None:
        """Raise SettingsError unless authors and licence are there."""
        if not any(a.split(";")[0].strip() for a in self.authors):
            raise SettingsError(
                "a bioimage.io package names its authors", remedy='give --author "Name; affiliation"'
            )
        if not SPDX.fullmatch(self.licence):
            raise SettingsError(
                "a bioimage.io package has a licence",
                expected="an identifier from spdx.org/licenses, such as CC-BY-4.0",
                got=self.licence or "none",
                remedy="give --licence ID",
            )

    def title_of(self, card: ModelCard) -> str:
        """The title, of letters that bioimage.io allows."""
        title = " ".join(NOT_IN_TITLES.sub(" ", self.title or card.name).split())
        return (title if len(title) >= SHORTEST else f"U-Net {title}")[:LONGEST].strip()


def write_package(model: Model, card: ModelCard, attribution: Attribution, path: Path) -> Path:
    """Write a model as a zip by the rules of bioimage.io, whole or not at all.

    In it are the description rdf.yaml, the network as ONNX, an image to test with and what must come out
    (synthetic, from ``data.synthetic``), a cover made of them, and documentation.

    Parameters
    ----------
    model : Model
        See ``onnx_model``.
    card : ModelCard
        Of the same model.
    attribution : Attribution
        Authors, licence, title.
    path : pathlib.Path
        Of the zip; one that is there is replaced.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    SettingsError
        If authors or licence are missing.
    ModelError
        If the network cannot be written as ONNX.
    OutputError
        If onnx or PyYAML is not installed, or the file cannot be written.

    References
    ----------
    Ouyang et al. 2022, doi:10.1101/2022.06.07.495102; model description 0.5.
    """
    try:
        import yaml
    except ImportError as error:
        raise OutputError(
            "packages of bioimage.io need PyYAML, which is not installed",
            remedy="run: pip install 'napari-unet-workbench[export]'",
        ) from error

    attribution.check()
    raw = test_image(model)
    prepared = model.normalization.model_copy(update={"scale": 1.0}).prepare(raw)
    probabilities = model.outputs(prepared[None])
    if model.normalization.intensities == "robust":
        raw = prepared
    files = {
        "model.onnx": onnx_model(model).SerializeToString(),
        "test_input.npy": _npy(raw[None].transpose(0, 3, 1, 2)),
        "test_output.npy": _npy(probabilities.transpose(0, 3, 1, 2)),
        "cover.png": _cover(raw, probabilities[0]),
        "README.md": documentation(card, attribution.title_of(card), model.sizes).encode(),
    }
    described = _description(model, card, attribution, files)
    text = yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=110)
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rdf.yaml", text)
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_image(model: Model) -> NDArray[np.float32]:
    """A synthetic image in the intensities that the package takes.

    Returns
    -------
    numpy.ndarray
        (Y, X, C) float32; in [0, 255] if each image is normalized by itself, else in [0, 1].
    """
    sizes, channels = model.sizes, model.normalization.channels
    side = sizes.for_output(SIDE)
    pictures = make_pictures("nuclei", min(channels, 3), seed=1)
    grey = [p.image if p.image.ndim == 2 else p.image[..., 0] for p in pictures]
    cut = [
        np.pad(g, ((0, max(0, side - g.shape[0])), (0, max(0, side - g.shape[1]))), "reflect") for g in grey
    ]
    image = np.stack([cut[c % len(cut)][:side, :side] for c in range(channels)], axis=-1)
    if model.normalization.intensities in ("image", "robust"):
        return image.astype(np.float32)
    return to_float(image)


def _npy(array: NDArray[np.float32]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, np.float32), allow_pickle=False)
    return buffer.getvalue()


def _cover(image: NDArray[np.float32], probabilities: NDArray[np.float32]) -> bytes:
    """PNG, twice as wide as high: the test image, and the largest probability of a class."""
    from PIL import Image

    margin = (image.shape[0] - probabilities.shape[0]) // 2
    grey = image[margin : image.shape[0] - margin, margin : image.shape[1] - margin, 0]
    grey = (grey - grey.min()) / max(float(np.ptp(grey)), 1e-6)
    both = np.concatenate([grey, probabilities.max(axis=-1)], axis=1)
    cover = Image.fromarray(np.round(both * 255).astype(np.uint8)).resize((2 * SIDE, SIDE))
    buffer = io.BytesIO()
    cover.save(buffer, "PNG")
    return buffer.getvalue()


def _description(
    model: Model, card: ModelCard, attribution: Attribution, files: dict[str, bytes]
) -> dict[str, Any]:
    """The content of rdf.yaml."""

    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    network = architecture(model.recipe.network.name)
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": attribution.title_of(card),
        "description": f"{network.title} for {', '.join(model.classes)}, trained on {card.trained_on}"[:1000],
        "authors": [_author(a) for a in attribution.authors if a.split(";")[0].strip()],
        "cite": [_citation(network.title, network.doi)],
        "license": attribution.licence,
        "documentation": file("README.md"),
        "covers": [file("cover.png")],
        "tags": ["segmentation", "semantic-segmentation", "2d", network.name, "napari-unet"],
        "version": "0.1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [_input(model, file("test_input.npy"))],
        "outputs": [_output(model, file("test_output.npy"))],
        "weights": {"onnx": {**file("model.onnx"), "opset_version": OPSET}},
        "config": {
            "napari_unet": {
                "version": __version__,
                "normalization": model.normalization.model_dump(mode="json"),
                "network": model.recipe.network.model_dump(mode="json"),
                "threshold": model.recipe.inference.threshold,
            }
        },
    }


def _author(text: str) -> dict[str, str]:
    name, _, affiliation = (part.strip() for part in text.partition(";"))
    return {"name": name, **({"affiliation": affiliation} if affiliation else {})}


def _citation(title: str, source: str) -> dict[str, str]:
    if source.startswith("10."):
        return {"text": f"The network: {title}", "doi": source}
    return {"text": f"The network: {title}", "url": f"https://arxiv.org/abs/{source.split(':')[-1]}"}


def _input(model: Model, test: dict[str, str]) -> dict[str, Any]:
    sizes = model.sizes
    side = {"min": sizes.at_least(sizes.minimum), "step": sizes.multiple}
    names = [f"channel{n}" for n in range(model.normalization.channels)]
    return {
        "id": INPUT,
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": names},
            {"type": "space", "id": "y", "size": side},
            {"type": "space", "id": "x", "size": side},
        ],
        "data": {"type": "float32"},
        "test_tensor": test,
        "preprocessing": preprocessing(model.normalization),
    }


def _output(model: Model, test: dict[str, str]) -> dict[str, Any]:
    lost = 2 * model.sizes.margin
    names: list[str] = []
    for name in output_names(model):
        word = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "class"
        word = f"class_{word}" if word[0].isdigit() else word
        names.append(word if word not in names else f"{word}_{len(names)}")
    return {
        "id": OUTPUT,
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": names},
            *(
                {"type": "space", "id": a, "size": {"tensor_id": INPUT, "axis_id": a, "offset": -lost}}
                for a in ("y", "x")
            ),
        ],
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "test_tensor": test,
    }


def preprocessing(normalization: Normalization) -> list[dict[str, Any]]:
    """What ``Normalization`` does to intensities, in bioimage.io's words; resizing and "robust" have none.

    Parameters
    ----------
    normalization : Normalization
        Of the model.
    """
    kind = normalization.intensities
    steps: list[dict[str, Any]] = [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]
    axes = ["y", "x"]
    # Their percentiles are not ours to the last pixel, so "robust" is left to whoever calls.
    if kind == "image":
        steps.append({"id": "zero_mean_unit_variance", "kwargs": {"axes": axes, "eps": 1e-6}})
    if kind == "dataset":
        deviation = [float(d) or 1.0 for d in normalization.deviation]
        known = {"axis": "channel", "mean": list(normalization.mean), "std": deviation}
        steps.append({"id": "fixed_zero_mean_unit_variance", "kwargs": known})
    return steps
