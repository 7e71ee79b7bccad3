"""Bazel's side of the protocol of persistent workers."""

from __future__ import annotations

import os
import pathlib
import subprocess
from typing import IO

from coreml_rules.worker_protocol import _as_varint, _varint


def field(number: int, data: bytes) -> bytes:
    return _as_varint(number << 3 | 2) + _as_varint(len(data)) + data


class Worker:
    """A worker, started in a folder. Thread rule: one request at a time."""

    def __init__(self, builder: str, folder: pathlib.Path) -> None:
        self.errors = (folder / "stderr").open("wb")
        # What a user's shell might have set.
        environ = {**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "2", "LC_ALL": "C"}
        self.process = subprocess.Popen(
            [builder, "--persistent_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environ,
            cwd=folder,
        )

    def ask(self, words: list[str], request_id: int = 0) -> tuple[int, str]:
        """Exit code and output of one action."""
        requests: IO[bytes] | None = self.process.stdin
        answers: IO[bytes] | None = self.process.stdout
        assert requests is not None
        assert answers is not None
        message = b"".join(field(1, word.encode()) for word in words)
        # An input, and a field of a later Bazel.
        message += field(2, field(1, b"a/path") + field(2, b"digest")) + _as_varint(5 << 3) + b"\x0a"
        if request_id:
            message += _as_varint(3 << 3) + _as_varint(request_id)
        requests.write(_as_varint(len(message)) + message)
        requests.flush()
        length = answers.read(1)
        while length[-1] & 0x80:
            length += answers.read(1)
        answer = answers.read(_varint(length, 0)[0])
        position, values = 0, {}
        while position < len(answer):
            key, position = _varint(answer, position)
            value, position = _varint(answer, position)
            if key & 7 == 2:
                values[key >> 3] = answer[position : position + value]
                position += value
            else:
                values[key >> 3] = value
        assert values.get(3, 0) == request_id
        return int(values.get(1, 0)), bytes(values.get(2, b"")).decode()
