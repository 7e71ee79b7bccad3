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
    parser.add_argument("file", type=Path, help="a .pte, of this exporter or of executorch's own")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .pte to write; it must not exist")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="both",
        help="both: blobs that this project's runtime and ExecuTorch's stock one read (default); coreml_blob: blobs for this project's "
        "runtime alone; inmemoryfs: the stock exporter's flattened directories. The models themselves stay as they are, and so do the "
        "outputs",
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
