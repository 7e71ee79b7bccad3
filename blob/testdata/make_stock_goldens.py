"""Writes the stock goldens of blob/testdata/golden with the stock extension module of the executorch wheel.

    python blob/testdata/make_stock_goldens.py blob/testdata/golden

needs the executorch 1.5.1 wheel and nothing of this project on the path. The goldens in the tree are kept for ever.
"""

import json
import pathlib
import sys
import tempfile

from executorch.backends.apple.coreml import executorchcoreml

MODEL = {
    "Manifest.json": b'{"fileFormatVersion": "1.0.0"}',
    "Data/com.apple.CoreML/model.mlmodel": b"a model specification",
    "Data/com.apple.CoreML/weights/weight.bin": bytes(i * 7 % 256 for i in range(300)),
}
SINGLE = {
    "inputNames": ["x", "scale"],
    "outputNames": ["y"],
    "identifier": "executorch_5f3c9f52-2f0e-4f0b-9a8e-2b1de6a6c0a1",
}
METHODS = {
    "identifier": "executorch_0c8a3f52-77aa-4a5c-8d8e-1e6ad0d3a9b7",
    "methods": {
        "forward": {"inputNames": ["x"], "outputNames": ["y"]},
        "prefill": {"inputNames": ["ids", "mask"], "outputNames": ["logits"]},
    },
}


def flattened(model_name: str, metadata: dict, debug_info: bytes | None) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "lowered_module"
        for path, content in MODEL.items():
            file = root / model_name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        (root / "metadata.json").write_text(json.dumps(metadata))
        if debug_info is not None:
            (root / "debug_info.json").write_bytes(debug_info)
        result = executorchcoreml.flatten_directory_contents(str(root))
        assert result is not None
        return result


def main() -> None:
    golden = pathlib.Path(sys.argv[1])
    (golden / "stock_single.bin").write_bytes(flattened("model.mlpackage", SINGLE, b'{"versionInfo": {}}'))
    (golden / "stock_methods.bin").write_bytes(flattened("model.mlpackage", METHODS, None))
    (golden / "stock_compiled.bin").write_bytes(flattened("model.mlmodelc", SINGLE, None))
    reference = {"version": 1, "key": "coreml_stock_methods", "functionName": "prefill"}
    (golden / "stock_reference.bin").write_bytes(b"CMJR" + json.dumps(reference).encode())


if __name__ == "__main__":
    main()
