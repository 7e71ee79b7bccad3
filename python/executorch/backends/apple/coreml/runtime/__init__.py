"""Runs Core ML delegates in ExecuTorch's Python runtime. Importing this package is all it takes:

    import executorch.backends.apple.coreml.runtime
    from executorch.runtime import Runtime

    method = Runtime.get().load_program("model.pte").load_method("forward")
    outputs = method.execute([torch.ones(2, 3)])

The import loads libcoremldelegate into the process and registers the backend `CoreMLBackend`; on Linux the portable engine executes
the models. The functions here set the backend's options for methods loaded afterwards, reset the states of loaded methods, and say
what is there and what went wrong. ExecuTorch's Python runtime has no way to pass options to one load, so they are the process's.

Thread rule: everything may be called from several threads at once; last_error() is the calling thread's.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from typing import Any

from executorch.backends.apple.coreml.runtime import _library

__all__ = [
    "DelegateError",
    "Diagnostics",
    "MLModel",
    "diagnose",
    "enable_coremltools",
    "last_error",
    "registered_backends",
    "reset_states",
    "set_options",
]

_LIBRARY = _library.load()

# Imported when they are asked for: they need more than running delegates does.
_ELSEWHERE = {"MLModel": "ml_model", "enable_coremltools": "coremltools_support"}


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ELSEWHERE[name]}"), name)


class DelegateError(RuntimeError):
    """A call of this package failed.

    str() says what failed, why and what to do; `error` is ExecuTorch's number of it (docs/errors.md has the table).
    """

    def __init__(self, message: str, error: int) -> None:
        super().__init__(message)
        self.error = error


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """What the process has to run Core ML delegates with."""

    version: str
    registered_backends: list[str]
    # Whether the backend `CoreMLBackend` is this library's.
    is_registered: bool
    # Name -> its version and that of what it computes with.
    engines: dict[str, str]
    # The engine of a method loaded without the option `engine`; empty when there is none.
    default_engine: str
    # The shared library that was loaded.
    library: str


def diagnose() -> Diagnostics:
    """Everything that decides whether and how a Core ML delegate runs in this process."""
    found = json.loads(_LIBRARY.coreml_delegate_diagnose())
    return Diagnostics(
        version=found["version"],
        registered_backends=found["registered_backends"],
        is_registered=found["is_registered"],
        engines={engine["name"]: engine["fingerprint"] for engine in found["engines"]},
        default_engine=found["default_engine"],
        library=_LIBRARY._name,
    )


def registered_backends() -> list[str]:
    """The names of every backend that ExecuTorch knows in this process."""
    return diagnose().registered_backends


def set_options(
    *,
    engine: str | None = None,
    compute_unit: str | None = None,
    numeric_mode: str | None = None,
    threads: int | None = None,
    share_models: bool | None = None,
) -> None:
    """Sets options for the methods loaded from now on, in the whole process; what is None stays as it is.

    They win over what a program asks for.

    Args:
        engine: The name of an engine that diagnose() lists; "" for the platform's default.
        compute_unit: "all", "cpu_only", "cpu_and_gpu" or "cpu_and_ne"; "" for what the program asks for. Off Apple platforms
            everything runs on the CPU.
        numeric_mode: "float32" (float16 values are computed in float32) or "float16" (rounded to float16 after each
            operation); "" for the default, "float32". docs/engine.md says what that means for results.
        threads: Threads of one execution; 0 for the engine's choice.
        share_models: Whether programs of equal content share a compiled model. Each load then hashes its content, and a
            program loaded from bytes must live as long as any method that shares its model.

    Raises:
        DelegateError: for an engine or value that does not exist. Options before it, in the order above, are set.
    """
    strings = {"engine": engine, "compute_unit": compute_unit, "numeric_mode": numeric_mode}
    for key, value in strings.items():
        if value is not None:
            _check(_LIBRARY.coreml_delegate_set_string_option(key.encode(), value.encode()))
    if threads is not None:
        _check(_LIBRARY.coreml_delegate_set_int_option(b"threads", threads))
    if share_models is not None:
        _check(_LIBRARY.coreml_delegate_set_bool_option(b"share_models", int(share_models)))


def reset_states(method: str = "") -> None:
    """Puts the states (a decoder's cache) of loaded methods back to their initial values, waiting for executions under way.

    Args:
        method: The methods' name; empty for all.

    Raises:
        DelegateError: if no method of that name with a Core ML delegate is loaded.
    """
    _check(_LIBRARY.coreml_delegate_reset_states(method.encode()))


def last_error() -> str:
    """What the delegate last failed with on this thread, in full; "" if nothing failed.

    ExecuTorch's own exceptions carry a number only.
    """
    message: bytes = _LIBRARY.coreml_delegate_last_error()
    return message.decode(errors="replace")


def _check(error: int) -> None:
    if error:
        raise DelegateError(last_error(), error)
