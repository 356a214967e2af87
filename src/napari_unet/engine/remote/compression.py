"""Bytes made smaller where that pays, and never unpacked to more than was said."""

from __future__ import annotations

import struct

SIZE = struct.Struct("<Q")
PLAIN, ZSTD = b"\0", b"\1"
SMALL = 512  # bytes; below, nothing is gained
PAYS = 0.9  # of the size; above, the time is better spent sending
LEVEL = 1  # hundreds of megabytes a second, faster than the networks between laptops and boxes
LARGEST = 2**33  # bytes of one buffer


def pack_bytes(raw: bytes | bytearray | memoryview, *, squeeze: bool = True) -> bytes:
    """Bytes with a header, compressed if they become clearly smaller."""
    size = memoryview(raw).nbytes
    if squeeze and size >= SMALL:
        import imagecodecs

        packed = bytes(imagecodecs.zstd_encode(bytes(raw), level=LEVEL))
        if len(packed) < PAYS * size:
            return ZSTD + SIZE.pack(size) + packed
    return PLAIN + bytes(raw)


def unpack_bytes(packed: bytes | memoryview, most: int = LARGEST) -> bytearray:
    """What was packed, in memory of its own.

    Parameters
    ----------
    packed : bytes
        As ``pack_bytes`` made them, on a machine that may not be trusted.
    most : int
        Bytes that may come out.

    Raises
    ------
    ValueError
        If they are none such, or more would come out.
    """
    kind = bytes(packed[:1])
    if kind == PLAIN and len(packed) - 1 <= most:
        return bytearray(packed[1:])
    if kind != ZSTD or len(packed) <= SIZE.size:
        raise ValueError("no packed bytes")
    (size,) = SIZE.unpack_from(packed, 1)
    if size > most:
        raise ValueError(f"{size:,} bytes are too many")
    import imagecodecs

    raw = bytearray(size)
    try:
        found = imagecodecs.zstd_decode(bytes(packed[1 + SIZE.size :]), out=raw)
    except Exception as error:
        raise ValueError(f"damaged bytes: {error}") from error
    if len(found) != size:
        raise ValueError("fewer bytes than said")
    return raw
