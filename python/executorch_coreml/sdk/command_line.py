"""The program `coreml`."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence

from executorch_coreml.sdk.errors import ToolError

# Command -> what it is for; the module of that name has the rest.
COMMANDS = {
    "lower": "makes a .pte of a PyTorch model, and checks that it computes what the model does",
    "inspect": "shows what is in a .pte, a blob or a model package",
    "extract": "writes the model packages that are inside a .pte, as folders",
    "run": "executes a .pte or a model package once",
    "bench": "measures how long one execution takes on this machine",
    "profile": "measures how much of an execution's time each operation takes",
    "verify": "checks whether a program computes what its PyTorch model does, and finds the operation where a difference starts",
    "kit": "writes a folder with a program and its expected outputs, to check it on another machine such as a phone or a Mac",
    "report": "writes one page about a program: what runs where, and the time, the error and the range of each operation",
    "convert": "changes the form of the Core ML models inside a .pte, from stock directories to blobs or back",
    "cache": "shows, checks or clears a folder of compiled models",
}


# As shells count a program that Ctrl-C ended.
INTERRUPTED = 130


def make_parser(asked: str | None = None) -> argparse.ArgumentParser:
    """The parser of the command `asked`, which knows of the others what they are for: their modules take seconds to import."""
    parser = argparse.ArgumentParser(
        prog="coreml",
        description="Looks into ExecuTorch programs with Core ML delegates and into Core ML model packages, and runs them, on any machine.",
        epilog="coreml COMMAND --help shows the options of a command, and examples. Off Apple platforms everything runs on the CPU, which does "
        "not show that Apple's own runtime gives the same results.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        if name != asked:
            commands.add_parser(name, help=purpose)
            continue
        module = importlib.import_module(f"executorch_coreml.sdk.commands.{name}")
        command = commands.add_parser(
            name,
            help=purpose,
            description=f"{purpose[0].upper()}{purpose[1:]}.",
            epilog=f"examples:\n{module.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print one JSON value instead of tables")
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. 0 or what the command says, or 1 after an error, which is one sentence on standard error, INTERRUPTED after Ctrl-C;
    argparse exits with 2 for a wrong usage."""
    command = "coreml"
    try:
        # File names may be in any encoding, and the terminal in another.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        words = sys.argv[1:] if arguments is None else list(arguments)
        # The program itself has no option with a value.
        parsed = make_parser(next((word for word in words if not word.startswith("-")), None)).parse_args(words)
        command = f"coreml {parsed.command}"
        from executorch_coreml.sdk.commands.output import Output

        for name in ("coremltools", "torch.utils._pytree", "torchao", "executorch"):
            logging.getLogger(name).setLevel(logging.ERROR)
        os.environ.setdefault("ET_COREML_LOG_LEVEL", "WARNING")
        code = parsed.run(parsed, Output(parsed.json)) or 0
        sys.stdout.flush()
        return code
    except ToolError as error:
        return _fail(command, str(error))
    except KeyboardInterrupt:
        _fail(command, "stopped")
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()  # Whoever read the output has enough.
        return 1
    except MemoryError as error:
        return _fail(command, f"there is not enough memory: {error}" if str(error) else "there is not enough memory")
    except OSError as error:
        _drop_output()
        return _fail(command, f"the operating system refused an operation: {error}")


def _fail(command: str, why: str) -> int:
    from executorch_coreml.sdk.commands.output import printable

    print(f"{command}: {printable(' '.join(why.split()))}", file=sys.stderr)
    return 1


def _drop_output() -> None:
    """What is still kept back for a standard output that takes no more would fail once again when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
