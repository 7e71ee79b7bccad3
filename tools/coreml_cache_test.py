"""The command coreml-cache, on a folder written by hand as docs/assets.md describes it."""

from __future__ import annotations

import hashlib
import json
import pathlib
import struct
import subprocess

import pytest

CACHE = pathlib.Path(__file__).parent / "coreml-cache"
ATTRIBUTES = {"engine": "test", "fingerprint": "a long one " * 10, "function": "main", "precision": "half"}


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CACHE, *map(str, words)], capture_output=True, text=True, check=False)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def xxh64(data: bytes) -> str:
    """XXH64 with seed 0, from its specification, as 16 hexadecimal digits."""
    p1, p2, p3, p4, p5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
    mask = 2**64 - 1

    def rotate(value: int, bits: int) -> int:
        return (value << bits | value >> (64 - bits)) & mask

    def step(lane: int, word: int) -> int:
        return rotate((lane + word * p2) & mask, 31) * p1 & mask

    at = len(data) - len(data) % 32
    value = p5
    if at:
        lanes = [(p1 + p2) & mask, p2, 0, -p1 & mask]
        for words in struct.iter_unpack("<4Q", data[:at]):
            lanes = [step(lane, word) for lane, word in zip(lanes, words, strict=True)]
        value = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & mask
        for lane in lanes:
            value = ((value ^ step(0, lane)) * p1 + p4) & mask
    value = (value + len(data)) & mask
    for width, code in ((8, "<Q"), (4, "<I"), (1, "<B")):
        while at + width <= len(data):
            (word,) = struct.unpack_from(code, data, at)
            at += width
            if width == 8:
                value = (rotate(value ^ step(0, word), 27) * p1 + p4) & mask
            elif width == 4:
                value = (rotate(value ^ word * p1 & mask, 23) * p2 + p3) & mask
            else:
                value = rotate(value ^ word * p5 & mask, 11) * p1 & mask
    value = (value ^ value >> 33) * p2 & mask
    value = (value ^ value >> 29) * p3 & mask
    return f"{value ^ value >> 32:016x}"


def entry_name(content: str, request: str) -> str:
    parts = [b"coreml-delegate asset key 2", bytes.fromhex(content), request.encode()]
    return digest(b"".join(struct.pack("<Q", len(part)) + part for part in parts))


def plant(folder: pathlib.Path, model: int, size: int) -> str:
    """An entry of one file, all by the documentation."""
    data = bytes([model]) * size
    content, request = digest(b"model %d" % model), json.dumps(ATTRIBUTES)
    name = entry_name(content, request)
    entry = folder / "coreml-delegate-1" / "entries" / name
    (entry / "content").mkdir(parents=True)
    (entry / "content" / "graph.ov").write_bytes(data)
    (entry / "lease").touch()
    manifest = {
        "format": "coreml-delegate asset 2",
        "content": content,
        "request": request,
        "attributes": ATTRIBUTES,
        "nonce": f"{model}",
        "created_ms": 1_700_000_000_000 + model,
        "files": [
            {"path": "graph.ov", "size": size, "xxh64": [xxh64(data[start : start + 2**20]) for start in range(0, size, 2**20)]}
        ],
    }
    line = (json.dumps(manifest) + "\n").encode()
    (entry / "manifest.json").write_bytes(line + digest(line).encode() + b"\n")
    return name


def test_the_checksum_is_that_of_its_specification() -> None:
    assert xxh64(b"") == "ef46db3751d8e999"
    assert xxh64(b"abc") == "44bc2cf5ad770999"
    assert xxh64(b"Nobody inspects the spammish repetition") == "fbcea83c8a378bf1"


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    for model, size in [(1, 1000), (2, 2**20 + 1), (3, 3000)]:
        plant(tmp_path, model, size)
    return tmp_path


def test_stats_and_list(folder: pathlib.Path) -> None:
    stats = json.loads(run("stats", folder, "--json").stdout)
    assert (stats["entries"], stats["bytes"], stats["mode"]) == (3, 1000 + 2**20 + 1 + 3000, "read-write")
    entries = json.loads(run("--json", "list", folder).stdout)
    assert [entry["bytes"] for entry in entries] == [3000, 2**20 + 1, 1000], "the newest first"
    assert entries[0]["attributes"] == ATTRIBUTES
    table = run("list", folder).stdout.splitlines()
    assert len(table) == 4
    assert "1.0 MB" in table[2]
    assert table[2].endswith("engine test, function main, precision half"), "what is long is in the JSON only"
    assert "2023-11-14 22:13:20" in table[1]
    assert "entries  3" in run("stats", folder).stdout


def test_verify_removes_damage_and_says_so(folder: pathlib.Path) -> None:
    clean = run("verify", folder)
    assert (clean.returncode, clean.stdout) == (0, "verified 3 entries (1.1 MB), 0 damaged\n")
    next(path for path in folder.rglob("graph.ov") if path.stat().st_size == 3000).write_bytes(b"\0" * 3000)
    damaged = run("verify", folder, "--json")
    assert damaged.returncode == 1
    assert "wrong checksum" in json.loads(damaged.stdout)["damaged"][0]
    assert json.loads(run("stats", folder, "--json").stdout)["entries"] == 2


def test_evict_shrink_and_purge(folder: pathlib.Path) -> None:
    entries = json.loads(run("list", folder, "--json").stdout)
    assert run("evict", folder, entries[0]["name"][:12]).stdout == "removed 1 entries (3.0 kB); 0 stayed, being in use\n"
    assert json.loads(run("shrink", folder, 2**20 + 1, "--json").stdout) == {"bytes": 1000, "entries": 1, "in_use": 0}
    assert json.loads(run("purge", folder, "--json").stdout)["entries"] == 1
    assert list((folder / "coreml-delegate-1" / "entries").iterdir()) == []


def test_wrong_command_lines(folder: pathlib.Path) -> None:
    for words in [(), ("stats",), ("evict", folder), ("burn", folder), ("stats", folder, "more")]:
        done = run(*words)
        assert done.returncode == 2
        assert "usage: coreml-cache" in done.stderr
    assert "number of bytes" in run("shrink", folder, "much").stderr
    assert "no entry with this name" in run("evict", folder, "beef" * 16).stderr


def test_a_folder_that_is_no_cache_is_left_alone(tmp_path: pathlib.Path) -> None:
    done = run("purge", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "not a cache of compiled models" in done.stderr
    assert list(tmp_path.iterdir()) == []
