"""A model: a trained network with its settings, normalization and provenance. Data, never code."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.atomic import PARTIAL, write_text
from napari_unet.errors import ModelError, unwritable
from napari_unet.models import native
from napari_unet.models.model_folder import (
    MAX_WEIGHTS_BYTES,
    MEMBERS,
    SETTINGS_FILE,
    WEIGHTS_FILE,
    check_bytes,
    check_place,
    describe,
    is_zip,
    model_folder,
    parse_settings,
    read_description,
    which_model,
)
from napari_unet.models.shipped import locate
from napari_unet.models.weights import check_weights_size, halve_weights, load_weights
from napari_unet.networks.graphs.folding import Folded, fold
from napari_unet.networks.graphs.partial_output import partial_output
from napari_unet.networks.layers.star_shape import encode
from napari_unet.networks.onnx import remembered
from napari_unet.networks.onnx.program import answer_channels
from napari_unet.networks.registry import architecture, build_network, input_sizes
from napari_unet.settings import SEPARATION_CHANNELS, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.sizes import InputSizes


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
    _key: str = field(
        default="", init=False, repr=False
    )  # of its program, if its weights are those of a file

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

        Its argument is (N, Y, X, C) float32, of a size that the network takes. What comes out is
        (N, Y', X', K) float32 in [0, 1]: for softmax the classes without the background. It computes
        with batch normalization folded into the convolutions, and by OpenVINO on a processor where that
        is installed (``models.native``). Changed weights are taken over here, not for each batch: ask
        again after ``weights_changed``.
        """
        return self.predictor(separation=False, presence=False)

    @property
    def outputs(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """As ``probabilities``, with one channel more for a network that tells touching objects apart.

        What comes out is (N, Y', X', K + 1) float32 in [0, 1] then, the separation last. Of a star-convex
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
            if part[0] * part[1] >= native.LARGE_PART:
                compiled = build((0, 0))  # parts in corners come first
                if compiled is not None:
                    return native.NativeParts(compiled, build, (0, 0), 0)
            elif (compiled := build()) is not None:
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
        channels = list(range(first if presence else settings.classes))
        return channels + list(range(first, answer_channels(settings))) if separation else channels

    def _compile(self, network: Any) -> native.NativeNetwork | None:
        """The folded network as OpenVINO runs it; None if it cannot."""
        known, at = self._compiled or (None, 0)
        if known is not network or at != self._folded_at:
            settings, scale = self.recipe.network, self.normalization.scale
            key = self._key if not self._changes else ""
            self._native = native.compile_network(
                network, settings, scale, shrinks=self.sizes.margin > 0,
                on_program=partial(remembered.remember, key) if key else None,
            )  # fmt: skip
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
        described = self.description()
        decides = {name: described[name] for name in ("normalization", "classes")}
        decides["network"] = described["recipe"]["network"]
        # Models without them keep the hash of earlier versions.
        if not decides["normalization"]["channel_names"]:
            del decides["normalization"]["channel_names"]
        for name in ("presence", "slices", "flat_levels"):
            if not decides["network"][name]:
                del decides["network"][name]
        if decides["network"]["dimensions"] == "2d":
            del decides["network"]["dimensions"]
        decides["pixel_size"] = self.recipe.training.pixel_size
        digest.update(json.dumps(decides, sort_keys=True).encode())
        for array in self.network.get_weights():
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def description(self) -> dict[str, Any]:
        """What is written to settings.json."""
        return describe(self.recipe, self.normalization, self.classes, self.provenance)


def program_key_of(folder: Path, precision: str) -> str:
    """Under which the program of a model is remembered."""
    return remembered.program_key((folder / SETTINGS_FILE, folder / WEIGHTS_FILE), precision)


class CompiledModel(Model):
    """A model that an earlier process compiled: its network is built only if somebody asks for it.

    Keras, TensorFlow and the network take three quarters of the time until a first mask.

    Parameters
    ----------
    recipe, normalization, classes, provenance
        As ``Model``.
    compiled : NativeNetwork
        Gives its answers.
    path : pathlib.Path
        From where the network is loaded.
    precision : str
        Of the computation.
    """

    def __init__(
        self,
        recipe: Recipe,
        normalization: Normalization,
        classes: tuple[str, ...],
        provenance: dict[str, Any],
        compiled: native.NativeNetwork,
        path: Path,
        precision: str,
    ) -> None:
        self._loaded: Any = None
        self._answers: native.NativeNetwork | None = compiled
        self._from = path, precision
        super().__init__(recipe, normalization, classes, None, provenance)

    @property
    def network(self) -> Any:
        """The network, loaded when it is first asked for."""
        if self._loaded is None:
            import keras  # noqa: F401 - from now on models are loaded with their networks

            path, precision = self._from
            self._loaded = load_model(path, precision).network
        return self._loaded

    @network.setter
    def network(self, network: Any) -> None:
        self._loaded = network
        if network is not None:
            self._answers = None

    def weights_changed(self) -> None:
        """As ``Model.weights_changed``."""
        super().weights_changed()
        self._answers = None

    def predictor(
        self, *, separation: bool, presence: bool
    ) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """As ``Model.predictor``."""
        if self._answers is not None:
            return self._answers.some(self._channels(separation, presence))
        return super().predictor(separation=separation, presence=presence)


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
        raise unwritable(f"the model {path} cannot be written", error) from error
    return path


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
    if not (path.is_dir() or is_zip(path)):
        raise ModelError(
            f"{path} is not a model" if path.exists() else f"there is no model {str(path)!r}",
            code="model.missing",
            remedy=which_model(path),
        )
    with model_folder(path) as folder:
        description = read_description(folder, path)
        recipe, normalization, classes, provenance = parse_settings(description, path)
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
        key = program_key_of(folder, precision) if native.is_chosen() else ""
        if key and "keras" not in sys.modules and remembered.is_remembered(key):
            program = remembered.remembered(key)
            compiled = None if program is None else native.compile_program(program, precision)
            if compiled is not None:
                return CompiledModel(recipe, normalization, classes, provenance, compiled, path, precision)
        check_weights_size(recipe.network, weights, str(path))
        network = build_network(recipe.network, precision=precision)
        load_weights(network, weights, str(path))
    model = Model(recipe, normalization, classes, network, provenance)
    model._key = key
    return model
