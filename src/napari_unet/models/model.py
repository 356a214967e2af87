"""A model: a trained network with its settings, normalization and provenance. Data, never code."""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
import struct
import tempfile
import warnings
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from napari_unet.atomic import PARTIAL, write_text
from napari_unet.errors import ModelError, OutputError
from napari_unet.models import native
from napari_unet.models.hdf5 import open_hdf5
from napari_unet.models.normalization import Normalization
from napari_unet.models.provenance import check_provenance
from napari_unet.models.shipped import locate, shipped_models
from napari_unet.networks.graphs.folding import Folded, fold
from napari_unet.networks.graphs.partial_output import partial_output
from napari_unet.networks.layers.star_shape import encode
from napari_unet.networks.onnx.program import answer_channels
from napari_unet.networks.registry import architecture, build_network, count_parameters, input_sizes
from napari_unet.plain_json import BAD_CONTENT, parse_json
from napari_unet.settings import SEPARATION_CHANNELS, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_unet.networks.sizes import InputSizes
    from napari_unet.settings import NetworkSettings

SETTINGS_FILE = "settings.json"
WEIGHTS_FILE = "model.weights.h5"
STATE_FILE = "training-state.npz"
SPLIT_FILE = "split.json"
METRICS_FILE = "metrics.csv"
OWN_FILES = {SETTINGS_FILE, WEIGHTS_FILE, STATE_FILE, SPLIT_FILE, METRICS_FILE}
FORMAT_VERSION = 1
NEWEST_VERSION = 2  # of an ensemble, whose settings list its members
MEMBERS = "members"  # what they are called in the settings, and their folder
MAX_SETTINGS_BYTES = 64 * 1024**2
# What unpacking a zip raises that is cut off, altered, encrypted or packed in an unknown way.
DAMAGED_ZIP = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError, struct.error,
)  # fmt: skip
MAX_WEIGHTS_BYTES = 4 * 1024**3
# Networks up to these take about 100 MB at most.
FEW_FILTERS, FEW_DEEPEST = 32, 512
SMALL_ENCODERS = {"MobileNetV2", "EfficientNetLite0"}
BYTES_OF_A_WEIGHT, MOST_PACKED = 2, 4  # in half precision; how far somebody may have compressed the file


@dataclass(eq=False)
class Model:
    """A trained network and everything needed to use it and to say where it came from.

    Attributes
    ----------
    recipe : Recipe
        Settings of network, training and inference.
    normalization : Normalization
        How images are prepared.
    classes : tuple of str
        Names of the classes 1..K.
    network : keras.Model
        (N, Y, X, C) float32 to float32 logits. Whoever changes its weights calls ``weights_changed``.
    provenance : dict
        Data and its hash, split, seen images, scores, versions; JSON throughout.
    """

    recipe: Recipe
    normalization: Normalization
    classes: tuple[str, ...]
    network: Any
    provenance: dict[str, Any] = field(default_factory=dict)
    _changes: int = field(default=0, init=False, repr=False)
    _folded: Folded | None = field(default=None, init=False, repr=False)
    _folded_at: int = field(default=0, init=False, repr=False)
    _native: native.NativeNetwork | None = field(default=None, init=False, repr=False)
    _compiled: tuple[Any, int] | None = field(default=None, init=False, repr=False)

    @classmethod
    def load(cls, path: Path | str, precision: str = "float32") -> Model:
        """Read a model from a folder or zip, or one that comes with the program by its name.

        Parameters and errors as ``load_model``.
        """
        return load_model(path, precision)

    @property
    def sizes(self) -> InputSizes:
        """Input sizes that the network takes."""
        return input_sizes(self.recipe.network)

    def weights_changed(self) -> None:
        """Call this whenever the weights of ``network`` are others: what computes with copies follows."""
        self._changes += 1

    @property
    def probabilities(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """What turns a batch of prepared images into probabilities, with the weights of this moment.

        Its argument is (N, Y, X, C) float32, of a size that the network takes; what comes out is
        (N, Y', X', K) float32 in [0, 1]: for softmax the classes without the background. It computes
        with batch normalization folded into the convolutions, and by OpenVINO on a processor where that
        is installed (``models.native``). Changed weights are taken over here, not for each batch: ask
        again after ``weights_changed``.
        """
        return self.predictor(separation=False, presence=False)

    @property
    def outputs(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """As ``probabilities``, with one channel more for a network that tells touching objects apart.

        What comes out is (N, Y', X', K + 1) float32 in [0, 1] then, the separation last; of a star-convex
        network (N, Y', X', K + 33): depth, then distances along 32 rays, shares of 1024 pixels of the image.
        A network with presence has that after the classes, in one channel more, the same for all pixels.
        """
        settings = self.recipe.network
        return self.predictor(separation=settings.separation != "none", presence=settings.presence)

    def predictor(
        self, *, separation: bool, presence: bool
    ) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """As ``outputs``, with what tells objects apart, or with presence, only if it is wanted."""
        network = self.inference_network
        compiled = self._compile(network) if native.is_wanted(network) else None
        if compiled is not None:
            return compiled.some(self._channels(separation, presence))
        return self._predictor(network, separation, presence)

    def predictor_of_part(
        self, tile: tuple[int, int], part: tuple[int, int]
    ) -> Callable[[NDArray[np.float32], tuple[int, int]], NDArray[np.float32]]:
        """As ``outputs``, of a part of one tile, for which less is computed than for all of it.

        Parameters
        ----------
        tile : (int, int)
            (Y, X) of what goes in.
        part : (int, int)
            (Y, X) of what comes out, multiples of the network's steps.

        Returns
        -------
        callable
            Takes a tile, (1, Y, X, C) float32, and row and column of it at which the part begins, multiples
            of the steps, too.

        Raises
        ------
        ValueError
            If the network cannot be narrowed, see ``narrowing``; those with presence cannot.
        """
        found = partial_output(self.inference_network)
        if found is None:
            raise ValueError("the network answers for whole tiles only")
        if native.is_wanted(found.network):
            settings, scale = self.recipe.network, self.normalization.scale
            build = partial(native.compile_part, found, settings, scale, tile, part)
            compiled = build()
            if compiled is not None:
                return native.NativeParts(compiled, build)
        run = self._predictor(found.build(tile, part), self.recipe.network.separation != "none", False)
        return lambda image, offset: run([image, np.asarray(offset, np.int32)])

    def _predictor(
        self, network: Any, separation: bool, presence: bool
    ) -> Callable[[Any], NDArray[np.float32]]:
        pixel = self.recipe.network.outputs
        classes = pixel - SEPARATION_CHANNELS[self.recipe.network.separation]
        scale = self.normalization.scale
        softmax = self.recipe.network.activation == "softmax"
        decode = architecture(self.recipe.network.name).decode_detections
        named = self.recipe.network.classes

        def run(images: Any) -> NDArray[np.float32]:
            logits = np.asarray(network.predict_on_batch(images), np.float32)
            if decode is not None:
                both = decode(logits, (images.shape[1], images.shape[2]), named)
                return both if separation else both[..., :named]
            found = probabilities_of(logits[..., :classes], softmax)
            parts = [found]
            if presence:
                parts.append(probabilities_of(logits[..., pixel:], softmax=False))
            if separation:
                parts.append(probabilities_of(logits[..., classes : classes + 1], softmax=False))
                parts.append(encode(logits[..., classes + 1 : pixel], scale))
            return found if len(parts) == 1 else np.concatenate(parts, axis=-1)

        return run

    def _channels(self, separation: bool, presence: bool) -> list[int]:
        """Which of ``outputs`` are wanted."""
        settings = self.recipe.network
        first = settings.classes + settings.presence
        kept = list(range(first if presence else settings.classes))
        return kept + list(range(first, answer_channels(settings))) if separation else kept

    def _compile(self, network: Any) -> native.NativeNetwork | None:
        """The folded network as OpenVINO runs it; None if it cannot."""
        known, at = self._compiled or (None, 0)
        if known is not network or at != self._folded_at:
            settings, scale = self.recipe.network, self.normalization.scale
            self._native = native.compile_network(network, settings, scale, shrinks=self.sizes.margin > 0)
            self._compiled = network, self._folded_at
        return self._native

    @property
    def inference_network(self) -> Any:
        """The folded network, with the weights that the trained one has now."""
        if self._folded is None or self._folded.original is not self.network:
            self._folded = fold(self.network)
        elif self._folded_at != self._changes:
            self._folded.refresh()
        self._folded_at = self._changes
        return self._folded.network

    @property
    def hash(self) -> str:
        """32 hexadecimal digits of all that decides what it says: network, preparation, classes, weights."""
        digest = hashlib.blake2b(digest_size=16)
        told = self.description()
        decides = {name: told[name] for name in ("normalization", "classes")}
        if not decides["normalization"]["channel_names"]:  # likewise
            decides["normalization"] = {
                name: value for name, value in decides["normalization"].items() if name != "channel_names"
            }
        decides["network"] = dict(told["recipe"]["network"])
        if not decides["network"]["presence"]:  # models without it keep the hash that they had before
            del decides["network"]["presence"]
        decides["pixel_size"] = self.recipe.training.pixel_size
        digest.update(json.dumps(decides, sort_keys=True).encode())
        for array in _arrays(self.network):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def description(self) -> dict[str, Any]:
        """What is written to settings.json."""
        return {
            "format": "napari-unet model",
            "version": FORMAT_VERSION,
            "recipe": self.recipe.model_dump(mode="json"),
            "normalization": self.normalization.model_dump(mode="json"),
            "classes": list(self.classes),
            "provenance": self.provenance,
        }


def probabilities_of(logits: NDArray[np.float32], softmax: bool) -> NDArray[np.float32]:
    """(N, Y, X, K) float32 in [0, 1] from logits; for softmax the background, which is first, is left out."""
    if softmax:
        shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray((shifted / shifted.sum(axis=-1, keepdims=True))[..., 1:])
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))), np.float32)


def save_model(model: Model, path: Path, *, half: bool = False) -> Path:
    """Write a model as a folder, or as a zip of it if the path ends in .zip.

    The folder appears whole or not at all; a model that was there before is replaced.

    Parameters
    ----------
    model : Model
        What to write.
    path : pathlib.Path
        Folder or .zip.
    half : bool
        Whether convolutions are stored in half precision; they are loaded to float32.

    Returns
    -------
    pathlib.Path
        The same path.

    Raises
    ------
    OutputError
        If it cannot be written, or if a folder is in the way that is not a model.
    """
    path = Path(path)
    check_place(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=path.parent) as partial:
            fresh = Path(partial) / "model"
            fresh.mkdir()
            model.network.save_weights(fresh / WEIGHTS_FILE)
            if half:
                halve_weights(fresh / WEIGHTS_FILE)
            write_text(fresh / SETTINGS_FILE, json.dumps(model.description(), indent=1))
            if path.suffix == ".zip":
                packed = Path(partial) / "model.zip"
                with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                    for file in sorted(fresh.iterdir()):
                        archive.write(file, file.name)
                packed.replace(path)
                return path
            if path.is_dir():
                for file in path.iterdir():  # the log of the training stays with the model
                    if file.name.startswith(PARTIAL) or file.name == MEMBERS:
                        continue
                    if not (fresh / file.name).exists():
                        shutil.move(file, fresh / file.name)
                path.rename(Path(partial) / "older")
            fresh.rename(path)
    except OSError as error:
        raise OutputError(
            f"the model {path} cannot be written",
            code="output.unwritable",
            got=error.strerror or str(error),
            remedy="choose another folder or make room",
        ) from error
    return path


def halve_weights(file: Path) -> None:
    """Store the convolutions in a file of weights in half precision, and leave out the optimizer.

    Biases and normalization stay as they are: they are few, and a variance may be too large or too
    small for half precision.
    """
    import h5py

    smaller = file.with_suffix(".half")
    with h5py.File(file, "r") as source, h5py.File(smaller, "w") as target:

        def copy(name: str, item: Any) -> None:
            if name.split("/")[0] == "optimizer":
                return
            if isinstance(item, h5py.Group):
                target.require_group(name).attrs.update(item.attrs)
                return
            values = item[()]
            if np.ndim(values) > 1:
                values = values.astype(np.float16)
            target.create_dataset(name, data=values).attrs.update(item.attrs)

        target.attrs.update(source.attrs)
        source.visititems(copy)
    smaller.replace(file)


def check_place(path: Path) -> None:
    """Refuse a place where a model must not go.

    Raises
    ------
    OutputError
        If a file is in the way, or a folder with things in it that no model or training left there.
    """
    if path.suffix == ".zip":
        return
    if path.is_file():
        raise OutputError(
            f"{path} is a file", code="output.folder.file", expected="a new folder or an older model"
        )
    if path.is_dir() and not (path / SETTINGS_FILE).exists():
        # A training that was killed while it wrote leaves the beginning of a file.
        strange = [
            p.name for p in path.iterdir() if p.name not in OWN_FILES and not p.name.startswith(PARTIAL)
        ]
        if strange:
            raise OutputError(
                f"{path} is a folder with other things in it",
                code="output.folder.occupied",
                expected="a new folder or an older model",
                got=strange[0],
                remedy="choose another name",
            )


def load_model(path: Path | str, precision: str = "float32") -> Model:
    """Read a model from a folder or a zip, building the network from the registry alone.

    Parameters
    ----------
    path : pathlib.Path
        Folder or .zip, or the name of a model that comes with the program.
    precision : str
        Of the computation: "float32", "mixed_bfloat16", "mixed_float16".

    Returns
    -------
    Model
        Ready for use.

    Raises
    ------
    ModelError
        If it is not a model of ours, is damaged, is newer than this program, or is an ensemble, which
        ``ensemble.load_any`` takes.
    """
    path = locate(path)
    if path.is_file() and zipfile.is_zipfile(path):
        with tempfile.TemporaryDirectory() as unpacked:
            folder = Path(unpacked)
            _unpack(path, folder)
            return _load_folder(folder, path, precision)
    if not path.is_dir():
        raise ModelError(
            f"{path} is not a model",
            code="model.missing",
            expected=", ".join(
                [f"a folder or .zip with {SETTINGS_FILE} and {WEIGHTS_FILE}", *shipped_models()]
            ),
            got="another file" if path.exists() else "nothing there",
            remedy="give the folder that `napari-unet train --out` wrote",
        )
    return _load_folder(path, path, precision)


@contextmanager
def model_folder(path: Path) -> Iterator[Path]:
    """Have a model as a folder, for as long as the context lasts: itself, or unpacked from its zip.

    Raises
    ------
    ModelError
        If the zip cannot be read.
    """
    path = locate(path)
    if not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as unpacked:
        _unpack(path, Path(unpacked))
        yield Path(unpacked)


def read_description(path: Path) -> dict[str, Any]:
    """Read the settings.json of a model without building the network.

    Raises
    ------
    ModelError
        If there is none, or it is not one of ours.
    """
    path = locate(path)
    if path.is_file() and zipfile.is_zipfile(path):
        with tempfile.TemporaryDirectory() as unpacked:
            _unpack(path, Path(unpacked), names=(SETTINGS_FILE,))
            return _description(Path(unpacked), path)
    return _description(path, path)


def _unpack(path: Path, folder: Path, names: tuple[str, ...] = (SETTINGS_FILE, WEIGHTS_FILE)) -> None:
    """Take the files of a model, and only those, out of a zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.rsplit("/", 1)[-1]
                if name not in names or info.filename.count("/") > 1:
                    continue
                limit = MAX_SETTINGS_BYTES if name == SETTINGS_FILE else MAX_WEIGHTS_BYTES
                check_bytes(info.file_size, limit, f"{name} in {path}")
                with archive.open(info) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1024**2)
    except DAMAGED_ZIP as error:
        raise ModelError(
            f"the model {path} cannot be read",
            code="model.unreadable",
            got=str(error),
            remedy="copy or train it again",
        ) from error


def check_bytes(size: int, limit: int, name: str) -> None:
    """Refuse a file that is too large; raises ModelError."""
    if size > limit:
        raise ModelError(
            f"{name} is too large", code="model.large", expected=f"at most {limit} bytes", got=f"{size}"
        )


def _description(folder: Path, path: Path) -> dict[str, Any]:
    file = folder / SETTINGS_FILE
    try:
        check_bytes(file.stat().st_size, MAX_SETTINGS_BYTES, str(file))
        content = parse_json(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(
            f"{path} is not a model",
            code="model.missing",
            expected=f"a folder with {SETTINGS_FILE} in it",
            remedy="give the folder that `napari-unet train --out` wrote",
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the settings of the model {path} cannot be read",
            code="model.settings.unreadable",
            got=str(error),
            remedy="train it again",
        ) from error
    if not isinstance(content, dict) or content.get("format") != "napari-unet model":
        raise ModelError(
            f"{path} is not a model of this program",
            code="model.foreign",
            remedy="train one with `napari-unet train`",
        )
    version = content.get("version")
    if not isinstance(version, int) or version > NEWEST_VERSION:
        raise ModelError(
            f"the model {path} was written by a newer program",
            code="model.newer",
            expected=f"version {NEWEST_VERSION} or lower",
            got=str(version),
            remedy="upgrade napari-unet-workbench",
        )
    return content


def read_settings(path: Path) -> tuple[Recipe, Normalization, tuple[str, ...], dict[str, Any]]:
    """Read recipe, normalization, classes and provenance of a model without building the network.

    Raises
    ------
    ModelError
        If it is not a model of ours, is damaged, or is newer than this program.
    """
    return _parse(read_description(Path(path)), Path(path))


def _parse(
    content: dict[str, Any], path: Path
) -> tuple[Recipe, Normalization, tuple[str, ...], dict[str, Any]]:
    try:
        recipe = Recipe.model_validate(content["recipe"])
        normalization = Normalization.model_validate(content["normalization"])
        if not isinstance(content["classes"], list):
            raise TypeError("classes that are not a list")
        classes = tuple(str(name) for name in content["classes"])
        provenance = check_provenance(content["provenance"])
    except (ValidationError, *BAD_CONTENT) as error:
        raise ModelError(
            f"the settings of the model {path} are damaged",
            code="model.settings.damaged",
            got=str(error),
            remedy="train it again",
        ) from error
    if len(classes) != recipe.network.classes or normalization.channels != recipe.network.input_channels:
        raise ModelError(
            f"the settings of the model {path} contradict each other",
            code="model.settings.contradiction",
            remedy="train it again",
        )
    return recipe, normalization, classes, provenance


def _load_folder(folder: Path, path: Path, precision: str) -> Model:
    description = _description(folder, path)
    recipe, normalization, classes, provenance = _parse(description, path)
    if MEMBERS in description:
        members = description[MEMBERS]
        count = len(members) if isinstance(members, list) else 0
        raise ModelError(
            f"{path} is an ensemble",
            code="model.ensemble",
            expected="one network, whose weights can be changed or taken elsewhere",
            got=f"{count} of them",
            remedy=f"give one of its members, in its folder {MEMBERS}",
        )
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise ModelError(
            f"the model {path} has no {WEIGHTS_FILE}",
            code="model.weights.missing",
            remedy="copy or train it again",
        )
    check_bytes(weights.stat().st_size, MAX_WEIGHTS_BYTES, str(weights))
    check_weights_size(recipe.network, weights, str(path))
    network = build_network(recipe.network, precision=precision)
    load_weights(network, weights, str(path))
    return Model(recipe, normalization, classes, network, provenance)


def check_weights_size(settings: NetworkSettings, file: Path, name: str) -> None:
    """Refuse settings of a network that is much larger than the file of its weights, before it is built.

    Raises
    ------
    ModelError
        With both sizes.
    """
    deepest = settings.filters * 2**settings.depth
    own_encoder = settings.name == "encoder_unet" and settings.encoder not in SMALL_ENCODERS
    if settings.filters <= FEW_FILTERS and deepest <= FEW_DEEPEST and not own_encoder:
        return
    bytes_there, weights = file.stat().st_size, count_parameters(settings)
    if BYTES_OF_A_WEIGHT * weights > MOST_PACKED * bytes_there:
        raise ModelError(
            f"the weights of the model {name} do not belong to its settings",
            code="model.weights.small",
            expected=f"{weights:,} weights",
            got=f"a file of {bytes_there:,} bytes",
            remedy="copy or train it again",
        )


def load_weights(network: Any, file: Path, name: str) -> None:
    """Fill a network with weights from a file.

    Raises
    ------
    ModelError
        If the file is damaged or belongs to another network.
    """
    try:
        with open_hdf5(file, network.count_params()), warnings.catch_warnings():
            # Keras only warns of layers that the file lacks, and leaves them at random.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(file)
    except (OSError, RuntimeError, *BAD_CONTENT, UserWarning) as error:
        raise ModelError(
            f"the weights of the model {name} cannot be read",
            code="model.weights.unreadable",
            expected="an intact file that belongs to its settings",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
            remedy="copy or train it again",
        ) from error
    if not all(np.isfinite(w).all() for w in _arrays(network)):
        raise ModelError(
            f"the weights of the model {name} are not numbers",
            code="model.weights.values",
            remedy="train it again",
        )


def _arrays(network: Any) -> Iterator[NDArray[np.float32]]:
    for array in network.get_weights():
        yield np.asarray(array)
