"""Compiled models on disk, from Python: prewarm, hits in later processes, and looking after the folder."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import threading
from typing import Any

import pytest
from executorch.backends.apple.coreml import runtime
from executorch.backends.apple.coreml.runtime import cache

TESTDATA = pathlib.Path(__file__).parent / "testdata"
SIN = TESTDATA / "sin_float32.pte"
SHARED = TESTDATA / "stock_shared_weights.pte"


@pytest.fixture(autouse=True)
def no_cache():
    yield
    runtime.set_options(cache_dir="", cache_budget_mb=0, cache_verification="", warm_up=False)


# Loads the program with its caches in argv[1] and prints what the cache says.
SECOND_PROCESS = """
import dataclasses, json, sys
from executorch.backends.apple.coreml import runtime
from executorch.runtime import Runtime
import torch
runtime.set_options(cache_dir=sys.argv[1])
method = Runtime.get().load_program(sys.argv[2]).load_method("forward")
value = method.execute([torch.tensor([0.5])])[0]
assert abs(value.item() - 0.479425538604203) < 1e-6, value
print(json.dumps(dataclasses.asdict(runtime.cache.stats())))
"""


def test_prewarmed_program_is_loaded_by_the_next_process(tmp_path: pathlib.Path) -> None:
    runtime.set_options(cache_dir=tmp_path)
    first = runtime.prewarm(SIN, run=True)
    assert (first.compilations, first.hits, list(first.seconds)) == (1, 0, ["forward"])
    again = runtime.prewarm(SIN)
    assert (again.compilations, again.hits) == (0, 1)

    done = subprocess.run([sys.executable, "-c", SECOND_PROCESS, tmp_path, SIN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stats = json.loads(done.stdout.splitlines()[-1])
    assert (stats["hits"], stats["compilations"], stats["uncached"]) == (1, 0, 0)


class Recorder:
    """The delegate's library, and what `warm_up` was set to through it."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.warm_up: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.library, name)

    def coreml_delegate_set_bool_option(self, name: bytes, value: int) -> int:
        if name == b"warm_up":
            self.warm_up.append(value)
        return int(self.library.coreml_delegate_set_bool_option(name, value))


@pytest.mark.parametrize("wanted", [False, True])
def test_prewarm_leaves_warm_up_as_it_was(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    runtime.set_options(cache_dir=tmp_path, warm_up=wanted)
    recorder = Recorder(runtime._LIBRARY)
    monkeypatch.setattr(runtime, "_LIBRARY", recorder)
    try:
        runtime.prewarm(SIN, run=True)
        assert recorder.warm_up == [1, int(wanted)]
    finally:
        runtime.set_options(warm_up=False)


def test_prewarm_of_two_threads_leaves_warm_up_as_it_was(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second may not take the first one's setting for the user's."""
    runtime.set_options(cache_dir=tmp_path)
    recorder = Recorder(runtime._LIBRARY)
    monkeypatch.setattr(runtime, "_LIBRARY", recorder)
    threads = [threading.Thread(target=runtime.prewarm, args=(SIN,), kwargs={"run": True}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.warm_up == [1, 0] * 8


def test_prewarm_takes_all_methods_or_those_named(tmp_path: pathlib.Path) -> None:
    runtime.set_options(cache_dir=tmp_path)
    assert list(runtime.prewarm(SHARED, methods=["decode"]).seconds) == ["decode"]
    assert cache.stats().entries == 1
    assert sorted(runtime.prewarm(SHARED).seconds) == ["decode", "forward"]
    assert {entry.attributes["function"] for entry in cache.list()} == {"decode", "forward"}
    with pytest.raises(ValueError, match="no methods \\['prefill'\\]"):
        runtime.prewarm(SHARED, methods=["prefill"])


def test_prewarm_needs_a_folder() -> None:
    with pytest.raises(runtime.DelegateError, match="cache_dir is not set"):
        runtime.prewarm(SIN)


def test_the_cache_can_be_listed_and_cleared(tmp_path: pathlib.Path) -> None:
    runtime.set_options(cache_dir=tmp_path)
    runtime.prewarm(SIN)
    runtime.prewarm(SHARED)
    stats = cache.stats()
    entries = cache.list(tmp_path)
    assert stats.mode == "read-write"
    assert stats.entries == len(entries) == 3
    assert stats.bytes == sum(entry.bytes for entry in entries)
    assert all(entry.attributes["engine"] == "portable" and not entry.is_in_use for entry in entries)
    newest, oldest = entries[0], entries[-1]
    assert newest.last_used_ms >= oldest.last_used_ms

    assert cache.verify().damaged == []
    removed = cache.evict(newest.name[:20])
    assert (removed.entries, removed.bytes) == (1, newest.bytes)
    with pytest.raises(runtime.DelegateError, match="no entry with this name"):
        cache.evict(newest.name)
    assert cache.evict_to(entries[1].bytes).entries == 1
    assert [entry.name for entry in cache.list()] == [entries[1].name]
    assert cache.purge().entries == 1
    assert cache.stats().bytes == 0


def test_verify_names_what_is_damaged(tmp_path: pathlib.Path) -> None:
    runtime.set_options(cache_dir=tmp_path)
    runtime.prewarm(SIN)
    (graph,) = tmp_path.rglob("graph.ov")
    content = bytearray(graph.read_bytes())
    content[100] ^= 1
    graph.write_bytes(content)
    verified = cache.verify()
    assert verified.entries == 1
    assert len(verified.damaged) == 1
    assert "graph.ov" in verified.damaged[0]
    assert cache.stats().entries == 0
    assert runtime.prewarm(SIN).compilations == 1


def test_a_path_that_would_be_cut_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(runtime.DelegateError, match=r"more than 25[45] bytes"):
        runtime.set_options(cache_dir=str(tmp_path) + "/" + "x" * 255)


def test_a_folder_that_was_never_a_cache_is_not_made_one(tmp_path: pathlib.Path) -> None:
    with pytest.raises(runtime.DelegateError, match="not a cache of compiled models"):
        cache.stats(tmp_path / "typo")
    assert list(tmp_path.iterdir()) == []


def test_what_is_open_is_not_removed(tmp_path: pathlib.Path) -> None:
    from executorch.runtime import Runtime

    runtime.set_options(cache_dir=tmp_path)
    method = Runtime.get().load_program(SIN).load_method("forward")
    assert method is not None
    assert cache.list()[0].is_in_use
    assert (cache.purge().in_use, cache.stats().entries) == (1, 1)
