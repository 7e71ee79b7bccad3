"""The console scripts of the installed package. Each imports what it needs and nothing else: `coreml --help` has to be there at once."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from typing import NoReturn


def coreml() -> NoReturn:
    """The program `coreml`: executorch_coreml.sdk.command_line."""
    # Ended from outside, it still removes its temporary files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    warnings.simplefilter("ignore")
    try:
        from executorch_coreml.sdk import command_line

        sys.exit(command_line.main())
    except KeyboardInterrupt:
        # Within the imports.
        sys.exit(128 + signal.SIGINT)


def _run(name: str) -> NoReturn:
    """Becomes a program of this package."""
    from executorch_coreml import _libraries

    path = _libraries.find(name)
    if path is None:
        sys.exit(f"{name} {_libraries.missing(name)}")
    if _libraries.openvino_is_wrong(path):
        sys.exit(_libraries.explanation(path, "libopenvino"))
    os.execv(path, [name, *sys.argv[1:]])


def coreml_cache() -> NoReturn:
    """The program `coreml-cache`."""
    _run("coreml-cache")


def coreml_runner() -> NoReturn:
    """The program `coreml_runner`."""
    _run("coreml_runner")
