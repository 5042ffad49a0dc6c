"""Read an ONNX file's metadata without the package onnx, from the outermost fields of its protobuf message."""

from __future__ import annotations

from collections.abc import Iterator

_METADATA, _KEY, _VALUE = 14, 1, 2  # fields of onnx.ModelProto, and of an entry of its metadata
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_LONGEST_VARINT = 10  # bytes: 64 bits


def read(data: bytes) -> dict[str, str]:
    """Return the metadata of an ONNX file's bytes; raises ValueError if they are damaged."""
    entries = (dict(_fields(value)) for field, value in _fields(memoryview(data)) if field == _METADATA)
    return {str(entry.get(_KEY, b""), "utf-8"): str(entry.get(_VALUE, b""), "utf-8") for entry in entries}


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message that hold bytes, each with its number."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(message, position)
        elif kind == _BYTES:
            length, position = _varint(message, position)
            yield tag >> 3, message[position : position + length]
            position += length
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("not a protobuf message")
    if position > len(message):
        raise ValueError("the message is cut off")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number in 7 bits a byte, the lowest first, and the position behind it."""
    number = 0
    for index, byte in enumerate(message[position : position + _LONGEST_VARINT]):
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number, position + index + 1
    raise ValueError("the message is cut off, or a number in it is longer than 64 bits")
