"""llama.cpp as a peer: SmolLM2's own weights in its file format, computed by llama-cpp-python in a process, and an environment, of its own.

llama-cpp-python has no wheel on PyPI and is built from its source distribution, which takes some minutes, so no target depends on it:

    python3 -m venv FOLDER && FOLDER/bin/pip install llama-cpp-python==0.3.36

It is built for the processor that it is built on. In a virtual machine that shows AMX and does not let it be used, it ends with an illegal
instruction: set CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON" (what the
processor has) for the installation.

Run as a program, `llama_cpp_peer.py MODEL.gguf THREADS CONTEXT` answers the lines "prompt N" and "decode N" on standard input with "done".
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Types of llama.cpp for the weights that this project's quantizations store: the same bits for a weight, but for the scales.
TYPES = {"fp16": "F16", "8w": "Q8_0", "b4w": "Q4_0"}


def write_gguf(source: Path, path: Path, kind: str) -> None:
    """The GGUF file `source` with its matrices in the type `kind`, such as "Q8_0", and everything else as it is."""
    import gguf

    reader = gguf.GGUFReader(source)
    wanted = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(path, str(reader.get_field("general.architecture").contents()))
    for field in reader.fields.values():
        # The reader's own fields, and what the writer has set already.
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        inner = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(field.name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        if values.ndim == 2:
            writer.add_tensor(tensor.name, gguf.quantize(values, wanted), raw_dtype=wanted)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp:
    """A running process; its calls return when the work is done."""

    def __init__(self, python: Path, model: Path, threads: int, context: int) -> None:
        command = [str(python), __file__, str(model), str(threads), str(context)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._expect("ready")

    def prompt(self, tokens: int) -> None:
        """Reads a prompt of so many tokens, from an empty cache."""
        self._ask(f"prompt {tokens}")

    def decode(self, behind: int, tokens: int) -> None:
        """Reads so many tokens one by one, behind the first `behind` of the last prompt."""
        self._ask(f"decode {behind} {tokens}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        self._expect("done")

    def _expect(self, answer: str) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line.strip() != answer:
            raise RuntimeError(
                f"llama.cpp's process ended or answered {line!r} in the place of {answer!r}; run its command to see why"
            )


def _serve(model: str, threads: int, context: int) -> None:
    import llama_cpp

    llama = llama_cpp.Llama(
        model_path=model, n_ctx=context, n_batch=context, n_threads=threads, n_threads_batch=threads, n_gpu_layers=0, verbose=False
    )
    print("ready", flush=True)
    for line in sys.stdin:
        what, *numbers = line.split()
        if what == "prompt":
            llama.reset()
            llama.eval([7] * int(numbers[0]))
        else:
            llama.n_tokens = int(numbers[0])  # What is cached behind is written anew.
            for _ in range(int(numbers[1])):
                llama.eval([7])
        print("done", flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
