"""The messages of Bazel's persistent workers, in protobuf's wire format: what Bazel 4 speaks without a flag.

Of a WorkRequest the arguments (1) and the request's number (3) are read; what an action reads is in its arguments, so that inputs (2) and later
fields are skipped. A WorkResponse has exit code (1), output (2) and the request's number (3). Messages have their length in front of them.
"""

from __future__ import annotations

import dataclasses
from typing import BinaryIO


@dataclasses.dataclass(frozen=True)
class Request:
    arguments: tuple[str, ...]
    request_id: int


def read_request(stream: BinaryIO) -> Request | None:
    """The next request; None when the stream has ended. ValueError for what is none."""
    length = _read_varint(stream)
    if length is None:
        return None
    message = stream.read(length)
    if len(message) != length:
        raise ValueError("the stream ends inside a request")
    arguments: list[str] = []
    request_id = 0
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        field, kind = key >> 3, key & 7
        if kind == 0:
            value, position = _varint(message, position)
            if field == 3:
                request_id = value
        elif kind == 2:
            size, position = _varint(message, position)
            if position + size > len(message):
                raise ValueError(f"field {field} of a request is longer than the request")
            if field == 1:
                arguments.append(message[position : position + size].decode("utf-8"))
            position += size
        else:
            raise ValueError(f"field {field} of a request has the unknown wire type {kind}")
    return Request(tuple(arguments), request_id)


def write_response(stream: BinaryIO, exit_code: int, output: str, request_id: int) -> None:
    """Writes one answer and flushes. exit_code, request_id: from 0."""
    text = output.encode("utf-8")
    message = b""
    if exit_code:
        message += b"\x08" + _as_varint(exit_code)
    if text:
        message += b"\x12" + _as_varint(len(text)) + text
    if request_id:
        message += b"\x18" + _as_varint(request_id)
    stream.write(_as_varint(len(message)) + message)
    stream.flush()


def _as_varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError("a number of a request is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position


def _read_varint(stream: BinaryIO) -> int | None:
    found = b""
    while True:
        byte = stream.read(1)
        if not byte:
            if found:
                raise ValueError("the stream ends inside the length of a request")
            return None
        found += byte
        if not byte[0] & 0x80:
            return _varint(found, 0)[0]
