"""Runs pytest under `bazel test`: sharding, filters, reports and temporary folders as Bazel asks for them.

The arguments are pytest's. Also works outside Bazel's test runner (`bazel run //x:y_test -- -k name`).
"""

import os
import pathlib
import sys
import tempfile
import zlib


def _hermetic_environment() -> None:
    """Keeps what is imported, and what a library caches, away from the user's own files."""
    # Python puts the folder of this file first on the path, with links resolved: the source tree.
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [p for p in sys.path if os.path.realpath(p or ".") != here]
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    folder = os.environ.get("TEST_TMPDIR")
    if folder:
        os.environ["HOME"] = folder
        os.environ["TMPDIR"] = folder
        os.environ["XDG_CACHE_HOME"] = os.path.join(folder, ".cache")
        tempfile.tempdir = None
    # A test that wants a file from a model hub is wrong: it says so at once instead of waiting for the network.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


_hermetic_environment()

import pytest  # noqa: E402  (the path is set first)


class Sample:
    """Keeps a fixed part of every parametrised test: of each test function one case in `one_in`, and one at least.

    Which ones depends on the names alone (CRC-32), so that a run can be repeated and a new case changes nothing for the others.
    """

    def __init__(self, one_in: int):
        self._one_in = one_in

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        cases: dict[str, list[pytest.Item]] = {}
        for item in items:
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
        kept: set[pytest.Item] = set()
        for same in cases.values():
            same.sort(key=lambda item: zlib.crc32(item.nodeid.rpartition("/")[2].encode()))
            kept.update(same[: -(-len(same) // self._one_in)])
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        total = len(items)
        items[:] = [item for item in items if item in kept]
        print(f"sample: {len(items)} of {total} cases; all with --config=full")


class Shards:
    """Deals the collected tests out over Bazel's shards, in turn, so that neighbours of one length do not meet in one shard."""

    def __init__(self, index: int, total: int):
        self._index = index
        self._total = total

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        mine = items[self._index :: self._total]
        other = [item for i, item in enumerate(items) if i % self._total != self._index]
        config.hook.pytest_deselected(items=other)
        items[:] = mine


def main(arguments: list[str]) -> int:
    environ = os.environ
    options = ["-c", str(pathlib.Path(__file__).with_name("pytest.ini")), f"--rootdir={os.getcwd()}"]
    if report := environ.get("XML_OUTPUT_FILE"):
        options.append(f"--junitxml={report}")
    if only := environ.get("TESTBRIDGE_TEST_ONLY"):
        options += ["-k", only]
    if environ.get("TESTBRIDGE_TEST_RUNNER_FAIL_FAST") == "1":
        options.append("-x")
    if folder := environ.get("TEST_TMPDIR"):
        options.append(f"--basetemp={os.path.join(folder, 'pytest')}")

    plugins: list[object] = []
    one_in = int(environ.get("PYTEST_SAMPLE_ONE_IN", "1"))
    if one_in > 1 and environ.get("COREML_DELEGATE_FULL_TESTS") != "1" and "TESTBRIDGE_TEST_ONLY" not in environ:
        plugins.append(Sample(one_in))
    total = int(environ.get("TEST_TOTAL_SHARDS", "1"))
    if total > 1:
        if status := environ.get("TEST_SHARD_STATUS_FILE"):
            pathlib.Path(status).touch()
        plugins.append(Shards(int(environ["TEST_SHARD_INDEX"]), total))

    code = pytest.main(options + arguments, plugins=plugins)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED and (total > 1 or "TESTBRIDGE_TEST_ONLY" in environ):
        return 0  # This shard got none, or the filter is meant for another target of the same run.
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
