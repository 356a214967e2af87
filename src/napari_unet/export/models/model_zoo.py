"""Models as packages of bioimage.io, which its programs check and run."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from napari_unet import __version__
from napari_unet.atomic import atomic_path
from napari_unet.data.synthetic import make_pictures
from napari_unet.errors import OutputError, SettingsError
from napari_unet.export.models.model_page import documentation
from napari_unet.export.models.onnx_model import onnx_model, output_names
from napari_unet.models.normalization import to_float
from napari_unet.models.volumes.normalized_volume import normalized_volume
from napari_unet.networks.onnx.graph import OPSET
from napari_unet.networks.onnx.program import INPUT, OUTPUT
from napari_unet.networks.registry import architecture

if TYPE_CHECKING:
    from pathlib import Path

    from bioimageio.spec.model.v0_5 import (
        Author,
        CiteEntry,
        FileDescr,
        InputTensorDescr,
        ModelDescr,
        OutputTensorDescr,
        PreprocessingDescr,
        Sha256,
        SpaceOutputAxis,
    )
    from numpy.typing import NDArray

    from napari_unet.models.card import ModelCard
    from napari_unet.models.model import Model
    from napari_unet.models.normalization import Normalization

SIDE = 256  # pixels of the test image, or the next that the network takes
DEPTH, SIDE_3D = 16, 64  # of the test volume
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
                "a bioimage.io package names its authors",
                code="settings.authors.missing",
                remedy='give --author "Name; affiliation"',
            )
        if not SPDX.fullmatch(self.licence):
            raise SettingsError(
                "a bioimage.io package has a licence",
                code="settings.licence.unknown",
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
        If onnx or bioimageio.spec is not installed, or the file cannot be written.

    References
    ----------
    Ouyang et al. 2022, doi:10.1101/2022.06.07.495102; model description 0.5.
    """
    try:
        from bioimageio.spec import ValidationContext, save_bioimageio_yaml_only
    except ImportError as error:
        raise OutputError(
            "packages of bioimage.io need bioimageio.spec, which is not installed",
            code="output.package.missing",
            remedy="run: pip install 'napari-unet-workbench[export]'",
        ) from error

    attribution.check()
    raw = test_image(model)
    unscaled = model.normalization.model_copy(update={"scale": 1.0})
    prepared = normalized_volume(unscaled, raw) if model.recipe.network.in_3d else unscaled.prepare(raw)
    probabilities = model.outputs(prepared[None])
    if model.normalization.intensities == "robust":
        raw = prepared
    files = {
        "model.onnx": onnx_model(model).SerializeToString(),
        "test_input.npy": _npy(np.moveaxis(raw[None], -1, 1)),
        "test_output.npy": _npy(np.moveaxis(probabilities, -1, 1)),
        "cover.png": _cover(_middle(raw), _middle(probabilities[0])),
        "README.md": documentation(card, attribution.title_of(card), model.sizes).encode(),
    }
    # Their own reading of the files leaves these open; we know the hashes.
    with ValidationContext(perform_io_checks=False):
        described = _description(model, card, attribution, files)
    text = io.StringIO()
    save_bioimageio_yaml_only(described, text)
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rdf.yaml", text.getvalue())
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_image(model: Model) -> NDArray[np.float32]:
    """A synthetic image in the intensities that the package takes.

    Returns
    -------
    numpy.ndarray
        (Y, X, C) float32, or (Z, Y, X, C) for a network in three dimensions; in [0, 255] if each image is
        normalized by itself, else in [0, 1].
    """
    sizes, channels = model.sizes, model.normalization.channels
    if model.recipe.network.in_3d:
        return _test_volume(model)
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


def _test_volume(model: Model) -> NDArray[np.float32]:
    """(Z, Y, X, C) float32: a synthetic image that moves from slice to slice."""
    along_z, across, _ = model.sizes.per_axis(3)
    depth, side = along_z.at_least(DEPTH), across.at_least(SIDE_3D)
    picture = make_pictures("nuclei", 1, seed=1)[0].image
    grey = (picture if picture.ndim == 2 else picture[..., 0])[:side, :side]
    grey = np.pad(grey, [(0, side - n) for n in grey.shape], "reflect")
    slices = [np.roll(grey, 2 * z, axis=1) for z in range(depth)]
    volume = np.stack([np.stack(slices)] * model.normalization.channels, axis=-1)
    if model.normalization.intensities in ("image", "robust"):
        return volume.astype(np.float32)
    return to_float(volume)


def _middle(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(Y, X, C) of an image, or of the slice in the middle of a volume."""
    return image if image.ndim == 3 else image[len(image) // 2]


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
) -> ModelDescr:
    """Describe the files of a package; bioimage.io's own classes check every field."""
    from bioimageio.spec.model import v0_5

    def file(name: str) -> FileDescr:
        return v0_5.FileDescr(source=v0_5.RelativeFilePath(name), sha256=_sha256(files[name]))

    network = architecture(model.recipe.network.name)
    source = v0_5.RelativeFilePath("model.onnx")
    onnx = v0_5.OnnxWeightsDescr(source=source, sha256=_sha256(files["model.onnx"]), opset_version=OPSET)
    started = [card.provenance.get("pretrained")]
    what = f"{network.title} for {', '.join(model.classes)}, trained on {card.trained_on}"
    return v0_5.ModelDescr(
        name=attribution.title_of(card),
        description=what[:1000],
        authors=[_author(a) for a in attribution.authors if a.split(";")[0].strip()],
        cite=[
            _citation(f"The network: {network.title}", network.doi),
            *(_citation(f"Its encoder started from: {w['title']}", w["source"]) for w in started if w),
        ],
        license=attribution.licence,
        documentation=file("README.md"),
        covers=[file("cover.png")],
        tags=["segmentation", "semantic-segmentation", _dimensions(model), network.name, "napari-unet"],
        version=v0_5.Version("0.1.0"),
        timestamp=v0_5.Datetime(datetime.now(UTC)),
        inputs=[_input(model, file("test_input.npy"))],
        outputs=[_output(model, file("test_output.npy"))],
        weights=v0_5.WeightsDescr(onnx=onnx),
        config=v0_5.Config(
            napari_unet={
                "version": __version__,
                "normalization": model.normalization.model_dump(mode="json"),
                "network": model.recipe.network.model_dump(mode="json"),
                "threshold": model.recipe.inference.threshold,
            }
        ),
    )


def _dimensions(model: Model) -> str:
    return "3d" if model.recipe.network.in_3d else "2d"


def _sha256(content: bytes) -> Sha256:
    from bioimageio.spec.model import v0_5

    return v0_5.Sha256(hashlib.sha256(content).hexdigest())


def _author(text: str) -> Author:
    from bioimageio.spec.model import v0_5

    name, _, affiliation = (part.strip() for part in text.partition(";"))
    return v0_5.Author(name=name, affiliation=affiliation) if affiliation else v0_5.Author(name=name)


def _citation(text: str, source: str) -> CiteEntry:
    from bioimageio.spec.model import v0_5

    if source.startswith("10."):
        return v0_5.CiteEntry(text=text, doi=v0_5.Doi(source))
    url = v0_5.HttpUrl(f"https://arxiv.org/abs/{source.split(':')[-1]}")
    return v0_5.CiteEntry(text=text, url=url)


def _input(model: Model, test: FileDescr) -> InputTensorDescr:
    from bioimageio.spec.model import v0_5

    sizes = model.sizes
    side = v0_5.ParameterizedSize(min=sizes.at_least(sizes.minimum), step=sizes.multiple)
    names = [v0_5.Identifier(f"channel{n}") for n in range(model.normalization.channels)]
    along_z = []
    if sizes.along_z is not None:
        z = sizes.along_z
        deep = v0_5.ParameterizedSize(min=z.at_least(z.minimum), step=z.multiple)
        along_z.append(v0_5.SpaceInputAxis(id=v0_5.AxisId("z"), size=deep))
    return v0_5.InputTensorDescr(
        id=v0_5.TensorId(INPUT),
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=names),
            *along_z,
            v0_5.SpaceInputAxis(id=v0_5.AxisId("y"), size=side),
            v0_5.SpaceInputAxis(id=v0_5.AxisId("x"), size=side),
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="float32"),
        test_tensor=test,
        preprocessing=preprocessing(model.normalization, in_3d=model.recipe.network.in_3d),
    )


def _output(model: Model, test: FileDescr) -> OutputTensorDescr:
    from bioimageio.spec.model import v0_5

    names: list[str] = []
    for name in output_names(model):
        word = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "class"
        word = f"class_{word}" if word[0].isdigit() else word
        names.append(word if word not in names else f"{word}_{len(names)}")

    def axis(name: str) -> SpaceOutputAxis:
        identifier = v0_5.AxisId(name)
        lost = 0 if name == "z" else 2 * model.sizes.margin
        size = v0_5.SizeReference(tensor_id=v0_5.TensorId(INPUT), axis_id=identifier, offset=-lost)
        return v0_5.SpaceOutputAxis(id=identifier, size=size)

    return v0_5.OutputTensorDescr(
        id=v0_5.TensorId(OUTPUT),
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=[v0_5.Identifier(n) for n in names]),
            *(axis(name) for name in ("zyx" if model.recipe.network.in_3d else "yx")),
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
        test_tensor=test,
    )


def preprocessing(normalization: Normalization, *, in_3d: bool = False) -> list[PreprocessingDescr]:
    """What ``Normalization`` does to intensities, in bioimage.io's words; resizing and "robust" have none.

    Parameters
    ----------
    normalization : Normalization
        Of the model.
    in_3d : bool
        Whether it takes volumes.
    """
    from bioimageio.spec.model import v0_5

    kind = normalization.intensities
    steps: list[PreprocessingDescr] = [v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="float32"))]
    # Their percentiles are not ours to the last pixel, so "robust" is left to whoever calls.
    if kind == "image":
        axes = tuple(v0_5.AxisId(name) for name in ("zyx" if in_3d else "yx"))
        each = v0_5.ZeroMeanUnitVarianceKwargs(axes=axes, eps=1e-6)
        steps.append(v0_5.ZeroMeanUnitVarianceDescr(kwargs=each))
    if kind == "dataset":
        known = v0_5.FixedZeroMeanUnitVarianceAlongAxisKwargs(
            axis=v0_5.NonBatchAxisId("channel"),
            mean=list(normalization.mean),
            std=[float(d) or 1.0 for d in normalization.deviation],
        )
        steps.append(v0_5.FixedZeroMeanUnitVarianceDescr(kwargs=known))
    return steps
