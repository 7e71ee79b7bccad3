"""The process of the actions: run once for one action, or kept by Bazel as a persistent worker for many.

    PROGRAM [--persistent_worker] ARGUMENT... [@FILE]

Importing torch, coremltools and executorch takes longer than lowering a small model. The process imports them once; each action is then done
by a child that is forked from it, so that nothing an action does (a seed, a default dtype, an imported module) is seen by the next, and
its output is the same from a worker as from a process of its own. Nothing but the declared environment is seen either: the process begins by running
itself again with variables that are written here.

The worker's protocol is Bazel's: messages of worker_protocol.proto, each behind its length, on standard input and output.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import BinaryIO

from coreml_rules.errors import ActionError

# An action: its arguments, to what the build's output shows. Raises ActionError.
Action = Callable[[Sequence[str]], str]

_CLEAN = "COREML_RULES_CLEAN"
_TRACEBACK = "COREML_DELEGATE_TRACEBACK"


def clean_environment() -> None:
    """Runs the program again with the environment that every machine gives it: what a lowered program holds must not depend on the user's.

    One thread: the order of a sum over several would depend on their number.
    """
    if os.environ.get(_CLEAN):
        return
    # Not the root of this repository, in which names such as tools or tests would be found in the place of the user's.
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [path for path in map(os.path.abspath, filter(None, sys.path[1:])) if path != own]
    environ = {name: os.environ[name] for name in ("PATH", "TMPDIR", _TRACEBACK) if name in os.environ}
    environ |= {
        _CLEAN: "1",
        "ET_COREML_LOG_LEVEL": "ERROR",
        "HF_HUB_OFFLINE": "1",
        "HOME": os.environ.get("TMPDIR", "/tmp"),
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        # Absolute: the launcher of Bazel gives folders of the runfiles.
        "PYTHONPATH": os.pathsep.join(paths),
    }
    # -P: the folder of the sources themselves is no place to import from.
    os.execve(sys.executable, [sys.executable, "-P", os.path.abspath(sys.argv[0]), *sys.argv[1:]], environ)


def main(action: Action, preloaded: Sequence[str]) -> int:
    """Does what the command line asks.

    Args:
        action: does one request; it is called in a child.
        preloaded: modules that the parent imports.
    """
    from executorch_coreml._quiet_imports import quiet

    with quiet():
        for name in preloaded:
            importlib.import_module(name)
    arguments = sys.argv[1:]
    if "--persistent_worker" in arguments:
        arguments.remove("--persistent_worker")
        # Standard output belongs to the protocol alone.
        answers = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        _serve(sys.stdin.buffer, answers, action, arguments)
        return 0
    code, text = perform(action, _expanded(arguments))
    sys.stderr.write(text)
    return code


def _expanded(arguments: Sequence[str]) -> list[str]:
    """With the lines of FILE in the place of @FILE."""
    found: list[str] = []
    for argument in arguments:
        if argument.startswith("@"):
            with open(argument[1:], encoding="utf-8") as file:
                found += file.read().splitlines()
        else:
            found.append(argument)
    return found


def perform(action: Action, arguments: Sequence[str]) -> tuple[int, str]:
    """Runs the action in a child; its exit code, and what the build's output shows. What others print is kept back unless the child dies."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as printed:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            os._exit(_in_child(action, arguments, said.fileno(), printed.fileno()))
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
        if code not in (0, 1):
            printed.seek(0)
            last = printed.read().decode("utf-8", "replace").splitlines()[-20:]
            died = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            advice = " (out of memory? --jobs=1 runs one action at a time)" if code == -signal.SIGKILL else ""
            text += (
                "\n".join([f"The process of the action {died}{advice}. The last that it printed:", *(last or ["(nothing)"])]) + "\n"
            )
            code = 1
        return code, text


def _in_child(action: Action, arguments: Sequence[str], said: int, printed: int) -> int:
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    code = 0
    with os.fdopen(os.dup(said), "w", encoding="utf-8") as out:
        try:
            text = action(arguments)
        except ActionError as error:
            text, code = f"ERROR: {error}", 1
            if os.environ.get(_TRACEBACK):
                text += "\n" + traceback.format_exc()
        except BaseException as error:
            # A fault of these programs themselves.
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = (
                f"ERROR: {type(error).__name__}: {error} ({where.filename}:{where.lineno}); "
                f"--action_env={_TRACEBACK}=1 shows where it came from"
            )
            code = 1
            if os.environ.get(_TRACEBACK):
                text += "\n" + traceback.format_exc()
        if text:
            out.write(text.rstrip() + "\n")
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _serve(requests: BinaryIO, answers: BinaryIO, action: Action, common: Sequence[str]) -> None:
    from coreml_rules.worker_protocol import read_request, write_response

    while (request := read_request(requests)) is not None:
        code, text = perform(action, [*common, *request.arguments])
        write_response(answers, code, text, request.request_id)
