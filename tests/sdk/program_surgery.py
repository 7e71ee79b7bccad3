"""Programs that no exporter writes: a .pte with some of its parts replaced."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

from executorch.backends.apple.coreml.blob import stock
from executorch.backends.apple.coreml.compiler import stock_format
from executorch.backends.apple.coreml.sdk import program_file
from executorch.exir._serialize._program import serialize_pte_binary


def change(source: pathlib.Path, target: pathlib.Path, edit: Callable[[Any], None]) -> pathlib.Path:
    """Writes `source` to `target` with what `edit` does to its PTEFile."""
    file = program_file.read_pte(source)
    edit(file)
    target.write_bytes(bytes(serialize_pte_binary(file, extract_delegate_segments=True)))
    return target


def with_method_name(source: pathlib.Path, target: pathlib.Path, name: str) -> pathlib.Path:
    def edit(file: Any) -> None:
        file.program.execution_plan[0].name = name

    return change(source, target, edit)


def with_compiled_model(source: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """The delegate's payload becomes what the stock exporter writes on a Mac with ModelType.COMPILED_MODEL: a flattened directory with a
    .mlmodelc in it instead of a package. The compiled model itself is none that Core ML would take."""

    def edit(file: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder) / "lowered_module"
            model = root / stock.MODEL_PATHS.COMPILED_MODEL.value
            model.mkdir(parents=True)
            (model / "coremldata.bin").write_bytes(bytes(64))
            (model / "model.mil").write_text("program(1.0) {}")
            names = stock.ModelMetadata(["x"], ["y"], stock_format.model_identifier(root))
            stock_format.write_metadata(names, root)
            file.program.backend_delegate_data[0].data = stock_format.flatten(root)

    return change(source, target, edit)
