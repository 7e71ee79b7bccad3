"""What the installed package costs a process that has nothing to do with it: starting Python, and `import executorch`, with its .pth file and without.

    tools/bazel run //benchmarks/start

A folder with the .pth file's one line and the package is put on a bare interpreter's path; the peer is the same interpreter with a folder that has an empty package instead. Runs are
interleaved. The goal is a difference below one millisecond.
"""

from __future__ import annotations

import pathlib
import resource
import subprocess
import sys
import tempfile

import executorch_coreml
import numpy as np

RUNS = 200
PROGRAMS = {"start": "", "import executorch": "\nimport executorch"}


def seconds(folder: pathlib.Path, program: str) -> float:
    """Of the processor, which other programs disturb less than the clock."""
    words = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(folder)!r}); import executorch_coreml{program}",
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    assert executorch_coreml.__file__ is not None
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        ours, peer = pathlib.Path(name, "ours"), pathlib.Path(name, "peer")
        for folder in (ours, peer):
            (folder / "executorch_coreml").mkdir(parents=True)
            (folder / "executorch").mkdir()
        for source in ("__init__.py", "_finder.py"):
            (ours / "executorch_coreml" / source).write_bytes(
                (pathlib.Path(executorch_coreml.__file__).parent / source).read_bytes()
            )
        (peer / "executorch_coreml/__init__.py").write_text("")
        for what, program in PROGRAMS.items():
            for folder in (ours, peer):
                seconds(folder, program)  # Writes the compiled files.
            pairs = np.array([(seconds(ours, program), seconds(peer, program)) for _ in range(RUNS)])
            samples = np.median(pairs[generator.integers(RUNS, size=(2000, RUNS))], axis=1)
            low, high = np.percentile((samples[:, 0] - samples[:, 1]) * 1e3, [2.5, 97.5])
            ours_ms, peer_ms = np.median(pairs, axis=0) * 1e3
            print(f"{what:18} with {ours_ms:.2f} ms, without {peer_ms:.2f} ms, difference {low:+.2f} to {high:+.2f} ms (95 %)")


if __name__ == "__main__":
    main()
