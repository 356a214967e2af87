"""What a Keras file holds, read as data: nothing in it is run, and sizes are known before memory is taken."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import ModelError
from napari_unet.models.hdf5 import open_hdf5
from napari_unet.models.model_folder import DAMAGED_ZIP, MAX_WEIGHTS_BYTES, check_bytes
from napari_unet.plain_json import BAD_CONTENT, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SUFFIXES = (".keras", ".h5", ".hdf5")
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAX_CONFIG_BYTES = 16 * 1024**2
# What Keras calls the group of a layer's weights in a .keras file: its class, then _1, _2 and so on.
GROUP_OF = {
    "Conv2D": "conv2d",
    "Conv2DTranspose": "conv2d_transpose",
    "SeparableConv2D": "separable_conv2d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "BatchNormalization": "batch_normalization",
    "GroupNormalization": "group_normalization",
    "Dense": "dense",
}


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """The weights of one layer.

    Attributes
    ----------
    name : str
        Of the layer, or of its group where the file does not tell.
    arrays : tuple of numpy.ndarray
        float32, in the order of Keras.
    """

    name: str
    arrays: tuple[NDArray[np.float32], ...]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the arrays."""
        return tuple(array.shape for array in self.arrays)


@dataclass(frozen=True, eq=False)
class KerasFile:
    """What was found in a file.

    Attributes
    ----------
    name : str
        Of the file.
    layers : tuple of StoredLayer
        Those with weights, in the network's order where the file tells it.
    config : dict or None
        The network as Keras describes it; None where the file holds weights alone.
    """

    name: str
    layers: tuple[StoredLayer, ...]
    config: dict[str, Any] | None


def read_keras_file(path: Path, most: int) -> KerasFile:
    """Read a .keras file, or an HDF5 file of a whole model or of weights.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    most : int
        Numbers that the weights may be in all; with more the file is refused before they are read.

    Returns
    -------
    KerasFile
        Everything in memory.

    Raises
    ------
    ModelError
        If there is no such file, or it is damaged, of another kind, or too large.
    """
    if not path.is_file():
        raise ModelError(
            f"{path} cannot be imported",
            code="model.file.format",
            expected=f"a file ending in {', '.join(SUFFIXES)}",
            got="a folder" if path.is_dir() else "nothing there",
            remedy="give the file that Keras saved",
        )
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(
            f"{path} cannot be imported",
            code="model.file.format",
            expected=f"a file ending in {', '.join(SUFFIXES)}",
            got=path.suffix or "no ending",
            remedy="save the model in Keras with model.save('model.keras')",
        )
    try:
        if path.suffix.lower() == ".keras":
            return _read_archive(path, most)
        check_bytes(path.stat().st_size, MAX_WEIGHTS_BYTES, path.name)
        with open_hdf5(path) as file:
            return _read_hdf5(file, path.name, most)
    except DAMAGED_ZIP as error:
        raise _damaged(path.name, str(error).splitlines()[0] if str(error) else "an early end") from error
    except BAD_CONTENT as error:
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise _damaged(path.name, reason) from error


def _damaged(name: str, got: str) -> ModelError:
    return ModelError(
        f"{name} cannot be read",
        code="model.file.unreadable",
        expected="an intact file that Keras saved",
        got=got,
        remedy="copy it again, or save the model again",
    )


def _read_archive(path: Path, most: int) -> KerasFile:
    """Read a .keras file: a zip of the network's description and its weights."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for wanted in (CONFIG, WEIGHTS):
            if wanted not in names:
                raise _damaged(path.name, f"no {wanted} in it")
        check_bytes(archive.getinfo(CONFIG).file_size, MAX_CONFIG_BYTES, f"{CONFIG} in {path.name}")
        check_bytes(archive.getinfo(WEIGHTS).file_size, MAX_WEIGHTS_BYTES, f"{WEIGHTS} in {path.name}")
        config = parse_json(archive.read(CONFIG))
        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder) / WEIGHTS
            with archive.open(WEIGHTS) as source, unpacked.open("wb") as target:
                shutil.copyfileobj(source, target, 1024**2)
            with open_hdf5(unpacked) as file:
                paths = dict(_groups_of(config))
                groups = {name: file[place] for place, name in paths.items() if place in file}
                _check_numbers(list(groups.values()), most, path.name)
                layers = tuple(StoredLayer(name, _numbered(group)) for name, group in groups.items())
    return KerasFile(path.name, layers, config)


def _groups_of(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where a .keras file keeps the weights of each layer, and the layer's name."""
    counts: dict[str, int] = {}
    for entry in config["config"]["layers"]:
        group = GROUP_OF.get(entry["class_name"])
        if group is None:
            continue
        number = counts.get(group, 0)
        counts[group] = number + 1
        yield f"layers/{group}{f'_{number}' if number else ''}/vars", str(entry["config"]["name"])


def _read_hdf5(file: Any, name: str, most: int) -> KerasFile:
    """Read a whole model or weights, in the layout of Keras 2 or of Keras 3."""
    config = None
    if "model_config" in file.attrs:
        text = file.attrs["model_config"]
        check_bytes(len(text), MAX_CONFIG_BYTES, f"model_config in {name}")
        config = parse_json(text)
    top = file.get("model_weights", file)
    if "layer_names" in top.attrs:
        groups = [(_text(n), top[_text(n)]) for n in top.attrs["layer_names"]]
        arrays = {n: [group[_text(w)] for w in group.attrs["weight_names"]] for n, group in groups}
        _check_numbers([a for found in arrays.values() for a in found], most, name)
        layers = tuple(StoredLayer(n, _floats(found)) for n, found in arrays.items())
    else:
        found = sorted(_vars_below(file), key=lambda pair: _natural(pair[0]))
        _check_numbers([group for _, group in found], most, name)
        layers = tuple(StoredLayer(_name_of(place, group), _numbered(group)) for place, group in found)
    layers = tuple(layer for layer in layers if layer.arrays)
    if not layers:
        raise _damaged(name, "no weights of layers in it")
    return KerasFile(name, layers, config)


def _vars_below(file: Any) -> list[tuple[str, Any]]:
    """All groups of weights, except those of the optimizer."""
    import h5py

    found: list[tuple[str, Any]] = []

    def look(place: str, item: Any) -> None:
        last = place.rsplit("/", 1)[-1]
        if isinstance(item, h5py.Group) and last == "vars" and len(item) and place[:9] != "optimizer":
            found.append((place, item))

    file.visititems(look)
    return found


def _name_of(place: str, group: Any) -> str:
    return _text(group.attrs.get("name", place.removesuffix("/vars").rsplit("/", 1)[-1]))


def _natural(place: str) -> list[Any]:
    """A key that puts conv2d before conv2d_1, and conv2d_2 before conv2d_10."""
    parts = re.split(r"_?(\d+)(?=/|$)", place.removesuffix("/vars"))
    return [int(part) if part.isdigit() else part for part in parts]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _numbered(group: Any) -> tuple[NDArray[np.float32], ...]:
    """Arrays called 0, 1, 2 ... in that order."""
    return _floats([group[str(number)] for number in range(len(group))])


def _floats(found: list[Any]) -> tuple[NDArray[np.float32], ...]:
    """Those of real numbers, read; counters and seeds are left out."""
    return tuple(np.asarray(a[()], np.float32) for a in found if a.dtype.kind == "f")


def _check_numbers(items: list[Any], most: int, name: str) -> None:
    """Refuse arrays that are larger than anything the network could take, before they are read."""
    count = 0
    for item in items:
        for array in item.values() if hasattr(item, "values") else (item,):
            count += int(array.size)
    if count > most:
        raise ModelError(
            f"{name} does not fit the network of the settings",
            code="model.weights.misfit",
            expected=f"about {most // 2:,} weights",
            got=f"{count:,}",
            remedy="correct filters, depth or name of the network in the settings",
        )
