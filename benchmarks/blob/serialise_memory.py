"""Time and peak memory of turning a package into bytes and back: ours and the stock extension module's functions.

    tools/bazel run -c opt //benchmarks/blob:serialise_memory [-- MEBIBYTES ...]

Each measurement is a process of its own. Memory is what the process's resident memory rose by at most (Linux, VmHWM after
a reset), in copies of the weights as well: 1.0 is the bytes object that is returned. Flattening includes writing the bytes
to a file, because from 1 GiB on the stock module returns an object whose memory is mapped from the files and read when it
is used. Unflattening starts with the bytes in memory; ours syncs every file to the disk, the stock module does not.
"""

import importlib
import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import types

RESULT = "result: "


def load(which: str) -> types.ModuleType:
    """Our module, or the extension module of the executorch wheel."""
    if which == "ours":
        return importlib.import_module("executorch_coreml.executorchcoreml")
    pattern = "executorch/backends/apple/coreml/executorchcoreml.cpython-*.so"
    for folder in sys.path:
        for path in pathlib.Path(folder).glob(pattern):
            loader = importlib.machinery.ExtensionFileLoader("executorchcoreml", str(path))
            spec = importlib.util.spec_from_loader("executorchcoreml", loader)
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            loader.exec_module(module)
            return module
    raise SystemExit(f"the {which} executorchcoreml is not on the path")


def status_kib(name: str) -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise SystemExit(f"/proc/self/status has no {name}")


def measure(which: str, operation: str, folder: str) -> None:
    """Runs one operation and prints seconds and KiB."""
    module = load(which)
    root = os.path.join(folder, "root")
    flattened = b""
    if operation == "unflatten":
        with open(os.path.join(folder, "flattened"), "rb") as file:
            flattened = file.read()
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = status_kib("VmRSS")
    start = time.perf_counter()
    if operation == "flatten":
        flattened = module.flatten_directory_contents(root)
        with open(os.path.join(folder, "flattened"), "wb") as file:
            file.write(flattened)
    else:
        target = os.path.join(folder, f"target_{which}")
        os.mkdir(target)
        if not module.unflatten_directory_contents(flattened, target):
            raise SystemExit("unflatten failed")
    seconds = time.perf_counter() - start
    peak = status_kib("VmHWM")
    print(f"{RESULT}{seconds} {peak - before}", flush=True)


def main() -> None:
    if len(sys.argv) == 5:
        measure(*sys.argv[2:])
        return
    for argument in sys.argv[1:] or ["512", "1024"]:
        compare(int(argument))


def compare(mebibytes: int) -> None:
    """Prints a table for a folder with that many MiB of weights."""
    print(f"a folder with {mebibytes} MiB of weights")
    print(f"{'':24}{'seconds':>10}{'peak MiB':>10}{'copies':>8}")
    for operation in ("flatten", "unflatten"):
        for which in ("ours", "stock"):
            with tempfile.TemporaryDirectory() as folder:
                root = pathlib.Path(folder) / "root"
                root.mkdir()
                (root / "metadata.json").write_text("{}")
                piece = bytes(range(256)) * 4096
                with open(root / "weight.bin", "wb") as file:
                    for _ in range(mebibytes):
                        file.write(piece)
                steps = ["flatten"] if operation == "flatten" else ["flatten", "unflatten"]
                for step in steps:
                    output = subprocess.run(
                        [sys.executable, __file__, "measure", which, step, folder],
                        check=True,
                        capture_output=True,
                        text=True,
                    ).stdout
            # The stock module prints lines of its own.
            (result,) = (line for line in output.splitlines() if line.startswith(RESULT))
            seconds, kib = (float(value) for value in result.removeprefix(RESULT).split())
            print(f"{which + ' ' + operation:24}{seconds:10.2f}{kib / 1024:10.0f}{kib / 1024 / mebibytes:8.2f}")


if __name__ == "__main__":
    main()
