"""coreml convert: the other form of the Core ML models inside a .pte."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from executorch_coreml.sdk.commands.output import Output, size

EXAMPLES = """\
  coreml convert stock.pte -o ours.pte                            flattened directories become blobs that both runtimes read
  coreml convert ours.pte -o ours2.pte --format coreml_blob       weights that several methods use are stored once
  coreml convert ours.pte -o stock.pte --format inmemoryfs        what the stock exporter writes"""


# Of converting.FORMATS, whose module takes seconds to import.
FORMATS = ("both", "coreml_blob", "inmemoryfs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the .pte to convert, made by this exporter or by executorch's own")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .pte to write, which must not exist yet")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="both",
        help="the form to write. both (default): blobs that both this project's runtime and ExecuTorch's stock runtime read. coreml_blob: "
        "blobs that only this project's runtime reads. inmemoryfs: the stock exporter's flattened directories. The models and the "
        "outputs of the program stay the same",
    )


def run(arguments: argparse.Namespace, output: Output) -> None:
    from executorch_coreml.sdk import converting

    converted = converting.convert(arguments.file, arguments.output, arguments.format)
    facts = {
        "path": str(arguments.output),
        "size": arguments.output.stat().st_size,
        "size_before": arguments.file.stat().st_size,
        "delegates": [dataclasses.asdict(delegate) for delegate in converted],
    }
    if output.as_json:
        output.value(facts)
        return
    for delegate in converted:
        change = f"{delegate.before} -> {delegate.after}" if delegate.before != delegate.after else f"{delegate.after} already"
        output.line(f"{delegate.method}, delegate {delegate.index}: {change}")
    output.line(f"{facts['path']}  {size(facts['size'])}, before {size(facts['size_before'])}")
