"""What ExecuTorch's stock Core ML runtime makes of a .pte, as far as its reader goes: the extension module of the executorch wheel is
compiled from the same sources as the reader in apps."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import pathlib
import sys
import types

from executorch.backends.apple.coreml import executorchcoreml as ours
from executorch.examples.apple.coreml.scripts import extract_coreml_models as script
from executorch.exir._serialize._program import PTEFile, deserialize_pte_binary, serialize_pte_binary


def load_module() -> types.ModuleType:
    """The wheel's own extension module, which ours takes the place of under its name."""
    for folder in sys.path:
        for path in sorted(pathlib.Path(folder).glob("executorch/backends/apple/coreml/executorchcoreml.cpython-*.so")):
            loader = importlib.machinery.ExtensionFileLoader("executorchcoreml", str(path))
            spec = importlib.util.spec_from_loader("executorchcoreml", loader)
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            loader.exec_module(module)
            assert module.__file__ != ours.__file__
            return module
    raise AssertionError("the executorch wheel's executorchcoreml is not on the path")


def extract(program: bytes, folder: pathlib.Path, reader: types.ModuleType) -> list[pathlib.Path]:
    """ExecuTorch's own extract_coreml_models.py, with one reader or the other."""
    before, script.executorchcoreml = script.executorchcoreml, reader
    try:
        return [path / "lowered_module" for path in script.extract_coreml_models(program, folder)]
    finally:
        script.executorchcoreml = before


def files(root: pathlib.Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def as_the_stock_exporter_writes_it(program: bytes, extracted: list[pathlib.Path], writer: types.ModuleType) -> bytes:
    """The program with the models that were extracted in the stock exporter's own form, and nothing of a blob of ours.

    Models stand in the order of the delegates; methods that refer to one model have one."""
    file: PTEFile = deserialize_pte_binary(program)
    flattened = [writer.flatten_directory_contents(str(root)) for root in extracted]
    keys = [data.data for data in file.program.backend_delegate_data]
    if keys and all(bytes(key).startswith(b"CMJR") for key in keys):
        assert file.named_data is not None
        (content,) = flattened
        (key,) = {json.loads(bytes(key)[4:])["key"] for key in keys}
        file.named_data.buffers[file.named_data.pte_data[key].buffer_index] = content
    else:
        assert len(flattened) == len(keys)
        for data, content in zip(file.program.backend_delegate_data, flattened, strict=True):
            data.data = content
    return bytes(serialize_pte_binary(file, extract_delegate_segments=True))
