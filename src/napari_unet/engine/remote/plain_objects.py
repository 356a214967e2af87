"""Objects between two machines as data alone: names, numbers, arrays. Nothing is unpickled.

What comes from the other machine can name only frozen dataclasses, named tuples, settings and errors of
this package, and these are filled with values. No function is called by its name.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import struct
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet import errors
from napari_unet.engine.remote.compression import pack_bytes, unpack_bytes
from napari_unet.engine.task import FromCaller
from napari_unet.errors import ComputeError, WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = struct.Struct("<I")
DEEPEST = 100  # lists in lists; nothing of ours comes near
PACKAGES: set[str] = {"napari_unet"}  # whose classes may be named
FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)  # called back, wherever they are
BLOB = 2**16  # bytes of an array from which on it may travel by its hash


@dataclass(frozen=True)
class Outward:
    """What objects become that mean something here alone.

    Attributes
    ----------
    path : callable
        (path) -> list of str and int that the other machine turns into its path.
    keep : callable, optional
        Remembers a FromCaller and gives its number.
    blob : callable, optional
        (bytes of a large array) -> its hash, if it travels by that.
    text : callable
        (text) -> how the other machine says it.
    """

    path: Callable[[Path], list[Any]] = lambda path: ["p", str(path)]
    keep: Callable[[FromCaller], int] | None = None
    blob: Callable[[memoryview], str] | None = None
    text: Callable[[str], str] = str


@dataclass(frozen=True)
class Inward:
    """What becomes of that on this machine.

    Attributes
    ----------
    path : callable
        (list) -> path.
    call : callable, optional
        (number, *arguments) -> value, how a FromCaller of the other machine is called.
    blob : callable, optional
        (hash) -> bytes that may be written to.
    """

    path: Callable[[list[Any]], Path] = lambda parts: Path(str(parts[1]))
    call: Callable[..., Any] | None = None
    blob: Callable[[str], bytearray] | None = None


def encode(obj: object, outward: Outward = Outward()) -> bytes:
    """Turn an object into bytes.

    Raises
    ------
    ComputeError
        If it, or something in it, is no data.
    """
    encoder = _Encoder(outward)
    tree = encoder.encode(obj)
    head = pack_bytes(json.dumps([tree, encoder.sizes], separators=(",", ":")).encode())
    return b"".join([LENGTH.pack(len(head)), head, *encoder.buffers])


def decode(content: bytes, inward: Inward = Inward()) -> Any:
    """Turn bytes from another machine into the object that they describe.

    Raises
    ------
    ComputeError
        If they describe nothing that may come from there.
    """
    try:
        (length,) = LENGTH.unpack_from(content)
        start = LENGTH.size + length
        tree, sizes = json.loads(unpack_bytes(content[LENGTH.size : start]))
        buffers = []
        for size in sizes:
            buffers.append(content[start : start + size])
            start += size
        return _Decoder(inward, buffers).decode(tree)
    except ComputeError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError, struct.error) as error:
        raise refused(f"{type(error).__name__}: {error}") from error


def refused(why: str) -> ComputeError:
    """The error that says that something came which is no data of ours."""
    return ComputeError(
        "the other machine sent something that this program does not take",
        code="compute.remote.content",
        expected="images, settings and results of this program",
        got=why[:200],
        remedy="install the same version on both machines",
    )


@dataclass
class _Encoder:
    outward: Outward
    buffers: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def buffer(self, raw: bytes | memoryview) -> int:
        packed = pack_bytes(raw)
        self.buffers.append(packed)
        self.sizes.append(len(packed))
        return len(self.buffers) - 1

    def encode(self, obj: Any) -> Any:
        if obj is None or type(obj) in (bool, int, float):
            return obj
        if type(obj) is str:
            return self.outward.text(obj)
        kind = type(obj)
        if kind in (tuple, list, set, frozenset):
            return {kind.__name__: [self.encode(item) for item in obj]}
        if isinstance(obj, Path):
            return {"path": self.outward.path(obj)}
        if isinstance(obj, np.ndarray):
            return self._array(obj)
        if isinstance(obj, np.generic):
            return {"scalar": self._array(np.asarray(obj))["array"]}
        if isinstance(obj, int):  # a name for a number
            return int(obj)
        if kind in (bytes, bytearray, memoryview):
            return {"bytes": self.buffer(obj)}
        if kind is slice:
            return {"slice": [self.encode(part) for part in (obj.start, obj.stop, obj.step)]}
        if isinstance(obj, FUNCTIONS):
            obj = FromCaller(obj)
        if isinstance(obj, FromCaller):
            if self.outward.keep is None:
                raise _no_data(obj)
            return {"call": self.outward.keep(obj)}
        return self._of_ours(obj)

    def _array(self, array: np.ndarray[Any, Any]) -> dict[str, Any]:
        if array.dtype.hasobject or array.dtype.fields:
            raise _no_data(array)
        whole = np.ascontiguousarray(array)
        raw = memoryview(whole.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        place: int | str
        if self.outward.blob is not None and whole.nbytes >= BLOB:
            place = self.outward.blob(raw)
        else:
            place = self.buffer(raw)
        return {"array": [place, array.dtype.str, list(array.shape)]}

    def _of_ours(self, obj: Any) -> dict[str, Any]:
        kind = type(obj)
        if isinstance(obj, tuple) and hasattr(kind, "_fields"):
            return {"named": [_name(kind), [self.encode(item) for item in obj]]}
        if isinstance(obj, WorkbenchError):
            text = self.outward.text
            return {"error": [kind.__name__, {name: text(part) for name, part in obj.parts.items()}]}
        values: dict[str, Any] | None = None
        if _is_frozen(kind):
            values = {one.name: getattr(obj, one.name) for one in dataclasses.fields(kind)}
        elif hasattr(kind, "model_fields"):
            values = {name: getattr(obj, name) for name in kind.model_fields}
        if values is not None:
            return {"object": [_name(kind), {name: self.encode(v) for name, v in values.items()}]}
        if isinstance(obj, dict) or hasattr(kind, "keys"):
            return {"dict": [[self.encode(key), self.encode(obj[key])] for key in obj]}
        raise _no_data(obj)


def _no_data(obj: object) -> ComputeError:
    return ComputeError(
        "a part of the task cannot travel to another machine",
        code="compute.remote.task",
        got=f"a {type(obj).__qualname__}",
        remedy="compute on this machine",
    )


@dataclass
class _Decoder:
    inward: Inward
    buffers: list[bytes]
    depth: int = 0

    def decode(self, tree: Any) -> Any:
        if not isinstance(tree, dict):
            if isinstance(tree, list):
                raise ValueError("a list without its kind")
            return tree
        ((tag, content),) = tree.items()
        method = getattr(self, f"_make_{tag}", None)
        self.depth += 1
        if method is None or self.depth > DEEPEST:
            raise ValueError(f"{str(tag)[:40]} is not known")
        try:
            return method(content)
        finally:
            self.depth -= 1

    def _all(self, content: Any) -> Any:
        return [self.decode(item) for item in content]

    def _make_list(self, content: Any) -> Any:
        return self._all(content)

    def _make_tuple(self, content: Any) -> Any:
        return tuple(self._all(content))

    def _make_set(self, content: Any) -> Any:
        return set(self._all(content))

    def _make_frozenset(self, content: Any) -> Any:
        return frozenset(self._all(content))

    def _make_dict(self, content: Any) -> Any:
        return {self.decode(key): self.decode(value) for key, value in content}

    def _make_slice(self, content: Any) -> Any:
        return slice(*self._all(content))

    def _make_bytes(self, content: Any) -> Any:
        return bytes(unpack_bytes(self.buffers[content]))

    def _make_path(self, content: Any) -> Any:
        return self.inward.path(content)

    def _make_call(self, content: Any) -> Any:
        call = self.inward.call
        if call is None or not isinstance(content, int):
            raise ValueError("nobody to call back")
        return FromCaller(functools.partial(call, content))

    def _make_array(self, content: Any) -> Any:
        place, dtype, shape = content
        if isinstance(place, str):
            if self.inward.blob is None:
                raise ValueError("an array that is not here")
            raw = self.inward.blob(place)
        else:
            raw = unpack_bytes(self.buffers[place])
        kind = np.dtype(str(dtype))
        if kind.hasobject:
            raise ValueError("an array of objects")
        return np.frombuffer(raw, kind).reshape([int(side) for side in shape])

    def _make_scalar(self, content: Any) -> Any:
        return self._make_array(content)[()]

    def _make_named(self, content: Any) -> Any:
        name, items = content
        kind = _class_named(name)
        if not issubclass(kind, tuple) or len(items) != len(kind._fields):
            raise ValueError(f"{name} is no named tuple")
        return kind(*self._all(items))

    def _make_error(self, content: Any) -> Any:
        name, parts = content
        kind = getattr(errors, name)
        if not (isinstance(kind, type) and issubclass(kind, WorkbenchError)):
            raise ValueError(f"{name} is no error")
        return kind(**{str(part): str(text) for part, text in parts.items()})

    def _make_object(self, content: Any) -> Any:
        name, encoded = content
        kind = _class_named(name)
        values = {str(key): self.decode(value) for key, value in encoded.items()}
        if hasattr(kind, "model_fields") and hasattr(kind, "model_validate"):
            return kind.model_validate(values)
        if not _is_frozen(kind):
            raise ValueError(f"{name} is no data")
        fields = {one.name: one for one in dataclasses.fields(kind)}
        if values.keys() != fields.keys():
            raise ValueError(f"{name} has other fields")
        made = kind(**{key: value for key, value in values.items() if fields[key].init})
        for key, value in values.items():
            if not fields[key].init:
                object.__setattr__(made, key, value)
        return made


def _is_frozen(kind: Any) -> bool:
    parameters = getattr(kind, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def _name(kind: type) -> str:
    if kind.__module__.split(".")[0] not in PACKAGES or "." in kind.__qualname__:
        raise _no_data(kind)
    return f"{kind.__module__}:{kind.__qualname__}"


def _class_named(name: str) -> Any:
    module, _, kind = name.partition(":")
    if module.split(".")[0] not in PACKAGES or not kind.isidentifier():
        raise ValueError(f"{name} is none of ours")
    found = getattr(importlib.import_module(module), kind)
    if not isinstance(found, type) or found.__module__ != module:
        raise ValueError(f"{name} is no class")
    return found
