"""coreml report: one page on a program."""

from __future__ import annotations

import argparse
from pathlib import Path

from executorch_coreml.sdk import files, verify_reference
from executorch_coreml.sdk.commands import run as run_command
from executorch_coreml.sdk.commands.output import Output
from executorch_coreml.sdk.errors import ToolError

EXAMPLES = """\
  coreml report model.pte -o report.html
  coreml report model.pte -o report.html --reference model.pt2      errors against PyTorch, lines of the model, reasons
  coreml report model.pte --json > before.json
  coreml report model.pte -o report.html --compare before.json --plots plots"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="the .pte or the .mlpackage to report on, made by this exporter or another")
    parser.add_argument("-o", "--output", type=Path, help="the page to write: one HTML file that needs no network")
    run_command.add_run_arguments(parser)
    parser.add_argument(
        "-n", type=int, default=20, help="the number of executions that are measured, after one that is not (default: 20)"
    )
    parser.add_argument("--reference", help=f"what the values are compared with: {verify_reference.FORMS}")
    parser.add_argument(
        "--partition-report",
        type=Path,
        metavar="FILE",
        help="what PartitionReport.to_json() returned when the program was lowered: it has the reasons why operators stayed outside",
    )
    parser.add_argument(
        "--compare", type=Path, metavar="FILE", help="what --json printed for an earlier report, to compare this one with"
    )
    parser.add_argument(
        "--plots",
        type=Path,
        metavar="FOLDER",
        help="the folder into which times.png, kinds.png, errors.png and ranges.png are written",
    )


def run(arguments: argparse.Namespace, output: Output) -> None:
    from executorch_coreml.sdk import report
    from executorch_coreml.sdk.report import plots

    if arguments.n < 1:
        raise ToolError("-n must be at least 1")
    if arguments.output is None and arguments.plots is None and not output.as_json:
        raise ToolError("choose what to write: -o report.html, --plots FOLDER or --json")
    read = (arguments.file, arguments.compare, arguments.partition_report, *(Path(t.partition("=")[2]) for t in arguments.input))
    if arguments.reference is not None:
        read = (*read, Path(arguments.reference))
    if arguments.output is not None:
        files.check_output(arguments.output, *read)
        _check_page(arguments.output)
    settings = report.Settings(
        method=arguments.method,
        executions=arguments.n,
        seed=arguments.seed,
        threads=arguments.threads,
        numeric_mode=arguments.numeric_mode,
        reference=arguments.reference,
        partition_report=arguments.partition_report,
        compare=arguments.compare,
    )
    document = report.collect(arguments.file, run_command.given_inputs(arguments), settings)
    written: list[Path] = []
    if arguments.output is not None:
        # A file name in another encoding than UTF-8 is shown with its bytes.
        page = report.to_html(document).encode("utf-8", errors="backslashreplace")
        with files.written(arguments.output, "the report") as sink:
            sink.write(page)
        written.append(arguments.output)
    if arguments.plots is not None:
        written += plots.write(document, arguments.plots)
    if output.as_json:
        output.value(document)
        return
    for finding in document["findings"]:
        output.line(f"{ {'bad': '!', 'look': '-', 'good': '+'}[finding['level']] } {finding['text']}")
    for path in written:
        output.line(f"-> {path}")


def _check_page(path: Path) -> None:
    """ToolError for a file that is no page: a mistyped -o must not cost a model."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        beginning = file.read(15)
    if not beginning.lower().startswith((b"<!doctype html", b"<html")):
        raise ToolError(f"{path} exists, and is not an HTML page: use another name, or remove it")
