"""Registers the delegate when ExecuTorch's Python runtime is imported (_finder.py).

A delegate that cannot be registered is no reason for that import to fail: the log "executorch.backends.apple.coreml" has one line that says why,
and what to do. `import executorch.backends.apple.coreml.runtime` raises the same as an ImportError.
"""

from __future__ import annotations

import logging
import os
import sys

# "0" turns it off.
VARIABLE = "COREML_DELEGATE_AUTOLOAD"

_logger = logging.getLogger("executorch.backends.apple.coreml")


def imported(name: str) -> None:
    """`name`, one of the modules that _finder.py watches, has been imported."""
    if os.environ.get(VARIABLE) == "0":
        return
    asked_for = sys.modules.get("executorch_coreml.runtime")
    if asked_for is not None and getattr(asked_for.__spec__, "_initializing", False):
        return  # Somebody is importing it, and it does the same by itself.
    try:
        from executorch_coreml.runtime import _library, _lifetime
    except ModuleNotFoundError as error:
        # Within Bazel: a program that does not depend on //python:runtime.
        if error.name is not None and error.name.startswith("executorch_coreml.runtime"):
            return
        raise
    except ImportError as error:
        # executorch_coreml.runtime registers by itself.
        _warn(error)
        return
    if name == "executorch.runtime":
        _lifetime.install()
        return
    try:
        _library.register()
    except ImportError as error:
        _warn(error)


_has_warned = False


def _warn(error: ImportError) -> None:
    global _has_warned
    if not _has_warned:
        _has_warned = True
        _logger.warning("Core ML delegates cannot run in this process: %s", error)
