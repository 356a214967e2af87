"""Ways to damage a file: blindly, and by its structure, with checksums mended so that readers go deeper."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

Random = np.random.Generator
BYTES = (0, 1, 2, 7, 8, 16, 31, 32, 64, 127, 128, 200, 254, 255)
NUMBERS = (
    0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 63, 64, 100, 127, 128, 255, 256, 257, 1000, 4096,
    8192, 32767, 32768, 34925, 50000, 65535, 65536, 100_000, 2**20, 2**24, 2**27, 2**31 - 1, 2**31, 2**32 - 1,
    2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
TAGS = (
    254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330, 338, 339,
    347, 32997, 50838, 50839,
)  # fmt: skip
CELLS = (
    b"", b"-1", b"0", b"1e9", b"9" * 30, b'"', b'"a', b"\0", b"../../etc/passwd", b"/etc/passwd",
    b"C:\\a.png", b"\xff", b"1 2 3", b"1 99999999", b"1 1 1 1", b"-5 2", b"nan", b" ", b"a" * 300,
    b"1 1 " * 20_000, b"=1+1", b"image",
)  # fmt: skip
TYPES = (
    b"'|O'", b"'<f8'", b"'<c16'", b"'|V8'", b"'<U9'", b"'<M8[s]'", b"'>f4'", b"[('a', '<f4')]", b"'|b1'",
    b"'x'",
)  # fmt: skip
SHAPES = (
    b"(0,)", b"()", b"(1000000, 1000000, 3)", b"(8, 8)", b"(1, 1, 1, 1, 1)", b"(-1, 8, 1)",
    b"(60000, 60000, 1)", b"(99999999999999999999,)", b"(8.0, 8, 1)", b"None",
    b"(True, 8, 1)", b"(" + b"1, " * 40 + b")",
)  # fmt: skip
JSON_LEAVES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 256, 65536, 2**31, 2**63, 10**30, 1e308, 1e-308, 0.5, -0.5, 3.7,
    float("nan"), float("inf"), float("-inf"), "", "a", "0", "../..", "/etc/passwd", "C:\\x", "\0", "\ud800",
    "é" * 300, "x" * 100_000, "NaN", "1e999", [], {}, [[]], [None], [1, 2, 3], [{}], {"a": 1}, {"": None},
)  # fmt: skip


def mutate(name: str, data: bytes, rng: Random, depth: int = 0) -> bytes:
    """Damage a file; the same generator damages it in the same way.

    Parameters
    ----------
    name : str
        Of the file; its suffix tells the structure.
    data : bytes
        The whole file.
    rng : numpy.random.Generator
        Decides everything.
    depth : int
        Archives around the file.

    Returns
    -------
    bytes
        The damaged file.
    """
    aware = structure_of(name, data)
    for _ in range(int(rng.choice((1, 1, 1, 2, 3, 8)))):
        if aware is None or rng.random() > 0.65:
            data = blind(data, rng)
            continue
        try:
            data = aware(data, rng, depth)
        except Exception:  # noqa: BLE001 - too damaged by now to have a structure
            data = blind(data, rng)
    return data


def structure_of(name: str, data: bytes) -> Callable[[bytes, Random, int], bytes] | None:
    """The mutation that knows a kind of file, if there is one."""
    suffix = name.rsplit("/", 1)[-1].rsplit(".", 1)[-1].lower()
    by_start = {
        b"\x89PNG": _png, b"II*\0": _tiff, b"MM\0*": _tiff, b"II+\0": _tiff, b"PK\x03\x04": _zip,
        b"\x89HDF": _hdf5, b"\x93NUM": _npy, b"napa": _strokes,
    }  # fmt: skip
    by_suffix = {"json": _json, "zattrs": _json, "zarray": _json, "zgroup": _json, "csv": _csv}
    return by_start.get(data[:4]) or by_suffix.get(suffix) or (_header if data[:4] else None)


def blind(data: bytes, rng: Random) -> bytes:
    """Flip, overwrite, cut, repeat, exchange bytes anywhere."""
    if not data:
        return bytes(rng.integers(0, 256, 16, np.uint8))
    raw = bytearray(data)
    place = int(rng.integers(len(raw)))
    length = min(len(raw) - place, int(2 ** rng.uniform(0, 10)))
    match int(rng.integers(9)):
        case 0:
            raw[place] ^= 1 << int(rng.integers(8))
        case 1:
            raw[place] = int(rng.choice(BYTES))
        case 2:
            _overwrite(raw, place, rng)
        case 3:
            del raw[place : place + length]
        case 4:
            raw[place:place] = raw[place : place + length]
        case 5:
            del raw[place:]
        case 6:
            raw[place : place + length] = bytes([int(rng.choice((0, 255, 65)))]) * length
        case 7:
            raw[place : place + length] = rng.integers(0, 256, length, np.uint8).tobytes()
        case _:
            other = int(rng.integers(len(raw)))
            piece = raw[other : other + length]
            raw[place : place + len(piece)] = piece
    return bytes(raw)


def _overwrite(raw: bytearray, place: int, rng: Random) -> None:
    """Put an interesting number of one to eight bytes somewhere."""
    size = int(rng.choice((1, 2, 4, 8)))
    number = int(NUMBERS[rng.integers(len(NUMBERS))]) % 2 ** (8 * size)
    raw[place : place + size] = number.to_bytes(size, "little" if rng.random() < 0.5 else "big")


def _header(data: bytes, rng: Random, depth: int) -> bytes:
    """Put numbers near the beginning, where sizes stand."""
    raw = bytearray(data)
    _overwrite(raw, int(rng.integers(min(len(raw), 96))), rng)
    return bytes(raw)


def _png(data: bytes, rng: Random, depth: int) -> bytes:
    """Change, repeat, drop, exchange chunks; their checksums are right again."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append([data[place + 4 : place + 8], data[place + 8 : place + 8 + length]])
        place += 12 + length
    if not chunks:
        return blind(data, rng)
    number = int(rng.integers(len(chunks)))
    kind, content = chunks[number]
    match int(rng.integers(6)):
        case 0:
            chunks[number][1] = blind(content, rng)
        case 1:
            chunks.insert(number, [kind, content])
        case 2:
            del chunks[number]
        case 3:
            header = bytearray(chunks[0][1])
            _overwrite(header, int(rng.integers(max(1, len(header)))), rng)
            chunks[0][1] = bytes(header[:13])
        case 4 if kind == b"IDAT":
            try:
                chunks[number][1] = zlib.compress(blind(zlib.decompress(content), rng))
            except zlib.error:
                chunks[number][1] = blind(content, rng)
        case _:
            names = (b"PLTE", b"tRNS", b"acTL", b"fcTL", b"zTXt", b"iCCP", b"eXIf", b"IEND", b"gAMA", b"pHYs")
            chunks.insert(number, [names[rng.integers(len(names))], rng.bytes(int(rng.integers(0, 40)))])
    out = [data[:8]]
    out += [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    return b"".join(out)


def tiff_tags(data: bytes) -> list[tuple[int, int, str]]:
    """Where the tags of all pages stand: place, size, byte order."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    count_of, size, offset_of = ("Q", 20, "Q") if big else ("H", 12, "I")
    found: list[tuple[int, int, str]] = []
    try:
        (place,) = struct.unpack_from(order + offset_of, data, 8 if big else 4)
        while place and len(found) < 400:
            (count,) = struct.unpack_from(order + count_of, data, place)
            start = place + struct.calcsize(count_of)
            found += [(start + size * n, size, order) for n in range(min(count, 100))]
            (place,) = struct.unpack_from(order + offset_of, data, start + size * count)
    except struct.error:
        pass
    return [tag for tag in found if tag[0] + size <= len(data)]


def _tiff(data: bytes, rng: Random, depth: int) -> bytes:
    """Change a tag: what it is, its type, how many values, a value or where they stand."""
    tags = tiff_tags(data)
    if not tags:
        return blind(data, rng)
    place, size, order = tags[rng.integers(len(tags))]
    raw, wide = bytearray(data), "Q" if size == 20 else "I"
    width = struct.calcsize(wide)
    number = int(NUMBERS[rng.integers(len(NUMBERS))])
    match int(rng.integers(5)):
        case 0:
            struct.pack_into(order + "H", raw, place, int(rng.choice(TAGS)))
        case 1:
            struct.pack_into(order + "H", raw, place + 2, int(rng.integers(0, 20)))
        case 2:
            struct.pack_into(order + wide, raw, place + 4, number % 2 ** (8 * width))
        case 3:
            struct.pack_into(order + wide, raw, place + 4 + width, number % 2 ** (8 * width))
        case _:
            kind, count = struct.unpack_from(order + "H" + wide, raw, place + 2)
            here = place + 4 + width
            if count * {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 16: 8}.get(kind, 4) > width:
                (here,) = struct.unpack_from(order + wide, raw, here)
            if here < len(raw):
                _overwrite(raw, min(here + int(rng.integers(0, 24)), len(raw) - 1), rng)
    return bytes(raw[: len(data)])


def _json(data: bytes, rng: Random, depth: int) -> bytes:
    """Replace, drop or nest a value of JSON; or change a number in its text."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return blind(data, rng)
    if rng.random() < 0.05:
        deep = b"[" * 100_000
        return deep + b"]" * (100_000 if rng.random() < 0.5 else 0)
    if rng.random() < 0.1:
        numbers = list(re.finditer(rb"-?\d+(\.\d+)?", data))
        if numbers:
            found = numbers[rng.integers(len(numbers))]
            new = (b"1e999", b"-1e999", b"9" * 5000, b"1" + b"0" * 30, b"-0", b"NaN")[rng.integers(6)]
            return data[: found.start()] + new + data[found.end() :]
    places = _json_places(content)
    holder, key = places[rng.integers(len(places))]
    value = holder[key]
    match int(rng.integers(6)):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1:
            nested: object = value
            for _ in range(int(rng.choice((1, 3, 200)))):
                nested = [nested] if rng.random() < 0.5 else {"a": nested}
            holder[key] = nested
        case 2 if isinstance(value, list) and value:
            holder[key] = value * int(rng.choice((0, 2, 1000)))
        case 3:
            other, name = places[rng.integers(len(places))]
            holder[key] = json.loads(json.dumps(other.get(name) if isinstance(other, dict) else other[name]))
        case 4 if isinstance(value, int | float) and not isinstance(value, bool):
            holder[key] = value * float(rng.choice((-1, 0.5, 2, 1000, 1e9)))
        case _:
            holder[key] = JSON_LEAVES[rng.integers(len(JSON_LEAVES))]
    if isinstance(content, dict) and content.keys() == {"all of it"}:
        content = content["all of it"]
    return json.dumps(content).encode("utf-8", "surrogatepass")


def _json_places(content: Any) -> list[tuple[Any, Any]]:
    holders, places = [content], []
    while holders:
        holder = holders.pop()
        if isinstance(holder, dict | list):
            for key in holder if isinstance(holder, dict) else range(len(holder)):
                places.append((holder, key))
                holders.append(holder[key])
    return places or [({"all of it": content}, "all of it")]


def _csv(data: bytes, rng: Random, depth: int) -> bytes:
    """Change a cell, a row or the separators."""
    rows = [row.split(b",") for row in data.split(b"\n")]
    row = int(rng.integers(len(rows)))
    cell = int(rng.integers(len(rows[row])))
    match int(rng.integers(6)):
        case 0 | 1:
            rows[row][cell] = CELLS[rng.integers(len(CELLS))]
        case 2:
            rows.insert(row, list(rows[int(rng.integers(len(rows)))]))
        case 3:
            del rows[row]
        case 4:
            rows[row].append(CELLS[rng.integers(len(CELLS))])
        case _:
            separator = (b";", b"\t", b"|", b",,")[rng.integers(4)]
            return separator.join(data.split(b","))
    return b"\n".join(b",".join(row) for row in rows)


def _npy(data: bytes, rng: Random, depth: int) -> bytes:
    """Change shape or type in the header, whose length is right again."""
    start = 10 if data[6] == 1 else 12
    header = data[start : data.index(b"\n", start) + 1]
    if rng.random() < 0.5:
        header = re.sub(
            rb"'descr': '[^']*'", lambda _: b"'descr': " + TYPES[rng.integers(len(TYPES))], header
        )
    else:
        header = re.sub(rb"\([^)]*\)", lambda _: SHAPES[rng.integers(len(SHAPES))], header)
    header = header.rstrip() + b" " * 8 + b"\n"
    length = struct.pack("<H" if start == 10 else "<I", len(header))
    return data[:8] + length + header + data[data.index(b"\n", start) + 1 :]


def _hdf5(data: bytes, rng: Random, depth: int) -> bytes:
    """Put numbers where the structure of the file stands, not among its weights."""
    raw = bytearray(data)
    marks = [m.start() for m in re.finditer(rb"TREE|HEAP|SNOD|OHDR|GCOL|FRHP|BTHD|\x89HDF", data)]
    place = int(rng.choice(marks)) if marks and rng.random() < 0.7 else int(rng.integers(min(len(raw), 4096)))
    _overwrite(raw, min(place + int(rng.integers(0, 256)), len(raw) - 1), rng)
    return bytes(raw[: len(data)])


def _strokes(data: bytes, rng: Random, depth: int) -> bytes:
    """Change the content of one stroke; its checksum is right again."""
    start = data.index(b"\n") + 1
    frames, place = [], start
    while place + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, place)
        frames.append(data[place + 8 : place + 8 + length])
        place += 8 + length
    if not frames:
        return blind(data, rng)
    number = int(rng.integers(len(frames)))
    content = frames[number]
    (length,) = struct.unpack_from("<H", content) if len(content) > 2 else (0,)
    text, packed = content[2 : 2 + length], content[2 + length :]
    if rng.random() < 0.5:
        text = _json(text, rng, depth)[:65535]
    else:
        try:
            packed = zlib.compress(blind(zlib.decompress(packed), rng))
        except zlib.error:
            packed = blind(packed, rng)
    frames[number] = struct.pack("<H", len(text)) + text + packed
    return data[:start] + b"".join(struct.pack("<II", len(f), zlib.crc32(f)) + f for f in frames)


def _zip(data: bytes, rng: Random, depth: int) -> bytes:
    """Damage a file inside and pack it again, or a field of the directory."""
    if depth < 3 and rng.random() < 0.6:
        try:
            return _repacked(data, rng, depth)
        except (
            zipfile.BadZipFile,
            ValueError,
            OSError,
            EOFError,
            RuntimeError,
            NotImplementedError,
            zlib.error,
        ):
            return blind(data, rng)
    marks = [m.start() for m in re.finditer(rb"PK(\x01\x02|\x03\x04|\x05\x06)", data)]
    if not marks:
        return blind(data, rng)
    raw = bytearray(data)
    _overwrite(raw, min(int(rng.choice(marks)) + int(rng.integers(4, 46)), len(raw) - 1), rng)
    return bytes(raw[: len(data)])


def _repacked(data: bytes, rng: Random, depth: int) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [(info.filename, archive.read(info), info.compress_type) for info in archive.infolist()]
    number = int(rng.integers(len(files)))
    name, content, method = files[number]
    names = ("../out.png", "/etc/x.png", "a\\b.png", "C:/a.png", "", "a" * 300 + ".png", "é.png", "train.zip")
    match int(rng.integers(8)):
        case 0:
            files[number] = (names[rng.integers(len(names))], content, method)
        case 1:
            del files[number]
        case 2:
            methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
            files[number] = (name, content, methods[rng.integers(4)])
        case 3:
            files[number] = (name, bytes(2**22), zipfile.ZIP_DEFLATED)
        case _:
            files[number] = (name, mutate(name, content, rng, depth + 1), method)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content, method in files:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()
