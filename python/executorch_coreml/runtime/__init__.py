"""Runs Core ML delegates in ExecuTorch's Python runtime. Importing this package is all it takes:

    import executorch_coreml.runtime
    from executorch.runtime import Runtime

    method = Runtime.get().load_program("model.pte").load_method("forward")
    outputs = method.execute([torch.ones(2, 3)])

The import loads libcoremldelegate into the process and registers the backend `CoreMLBackend`. On Linux the portable engine executes the models. On a
Mac, where executorch's wheel has registered a backend of that name already, programs run in that one: a line in the log says so, and the functions here
raise an ImportError. From then on, the methods of a program that was loaded from bytes keep these bytes alive, which ExecuTorch leaves to the caller.

The functions of this package set the backend's options, reset the states of loaded methods, and say what is there and what went wrong. ExecuTorch's
Python runtime cannot pass options to one load, so options hold for the whole process, and for methods that are loaded after they were set.

If ExecuTorch is not installed, only `MLModel` and `enable_coremltools` work, which are those of `executorch_coreml.engine`.

Thread rule: everything may be called from several threads at once. last_error() returns the last error of the calling thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from executorch_coreml.runtime import _library, _lifetime, _load_options, cache
from executorch_coreml.runtime._load_options import LoadOption

__all__ = [
    "DelegateError",
    "Diagnostics",
    "LoadOption",
    "MLModel",
    "Prewarmed",
    "cache",
    "diagnose",
    "enable_coremltools",
    "last_error",
    "load_options",
    "options",
    "prewarm",
    "registered_backends",
    "reset_states",
    "set_options",
]

_LIBRARY = _library.Library()
if _library.executorch_is_there():
    _library.register()
    _lifetime.install()


def __getattr__(name: str) -> Any:
    # Imported when they are asked for: they need more than running delegates does.
    if name not in ("MLModel", "enable_coremltools"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("executorch_coreml.engine"), name)


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
    """Returns everything that decides whether and how a Core ML delegate runs in this process."""
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
    """Returns the names of all backends that ExecuTorch knows in this process."""
    return diagnose().registered_backends


@functools.cache
def load_options() -> dict[str, LoadOption]:
    """Returns the options that set_options() takes, by name, as the delegate's own table has them. docs/runtime.md says more about each."""
    return _load_options.parse(_LIBRARY.coreml_delegate_load_options())


def set_options(**options: _load_options.Value | None) -> None:
    """Sets options for the methods that are loaded from now on, in the whole process. An option that is None stays as it is.

    These options win over those that a program asks for. load_options() lists them as the delegate has them.

    Args:
        **options: Values by name; "", 0 or False takes an option back to its default. The options are:

        engine: The name of an engine that diagnose() lists. "" means the platform's default.
        compute_unit: "all", "cpu_only", "cpu_and_gpu" or "cpu_and_ne". "" means what the program asks for. Off Apple platforms everything runs
            on the CPU.
        numeric_mode: "float32" computes float16 values in float32, "float16" rounds to float16 after each operation, and "low_precision"
            computes what the program quantizes in integers. "" means the default, "float32". docs/engine.md says what this means for results.
        threads: How many threads one execution may use. 0 means the engine's choice.
        share_models: Whether programs of equal content share a compiled model. Each load then hashes its content, and a program that was loaded
            from bytes must live as long as any method that shares its model.
        cache_dir: The folder in which compiled models are kept from process to process (docs/assets.md), at most 254 bytes. "default" means
            executorch_coreml in the system's folder for caches. "" means the platform's default: this folder on Apple systems, and none elsewhere.
        cache_budget_mb: How many megabytes (10^6 bytes) the kept models may take together. 0 means the default, 10 GiB.
        cache_verification: When the checksums of a kept model are compared: at the "first_use" in each process, "sampled", "full" (at every
            load) or "none". "" means the default, "first_use".
        warm_up: Whether a method is executed once, with zeros, when it is loaded.
        reshape_frequency: "frequent" or "infrequent", a hint for Core ML that says whether the shapes of inputs change often. "" means the
            default, "frequent".
        specialization_strategy: "default" or "fast_prediction", which says whether Core ML may take longer to load so that it executes faster.
            "" means the default.
        low_precision_accumulation: Whether Core ML may sum in float16 on the GPU.
        compile_helper: Whether models are compiled in a process of its own, for programs that you do not trust: if a model makes the compiler
            crash, that process crashes and not yours (docs/engine.md). True, or the path of the program //runtime:coreml_compile_helper, at
            most 254 bytes. False, the default, compiles in this process.
        compile_helper_timeout_s: How many seconds the helper may take for a model. 0 means the default, 600.
        compile_helper_memory_mb: How many megabytes (10^6 bytes) of memory the helper may take, on Linux. 0, the default, means no limit.

    Raises:
        DelegateError: if an engine or a value does not exist. The options before it, in the order of the table, are set.
        FileNotFoundError: if compile_helper is True and the program is not there.
        TypeError: if a name is no option, or a value is of another type than its option.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := given.keys() - load_options().keys():
        raise TypeError(f"there is no option {', '.join(sorted(unknown))}; there are: {', '.join(load_options())}")
    with _options_lock:
        for name in load_options():
            if name in given:
                _set_option(name, given[name])


# What was set here, and the lock for changing it. Whoever holds the lock may load methods with options of its own.
_options: dict[str, _load_options.Value] = {}
_options_lock = threading.RLock()


def _set_option(name: str, value: _load_options.Value) -> None:
    _check(_load_options.set_in(_LIBRARY, load_options()[name], value))
    _options[name] = value


@contextlib.contextmanager
def options(**values: _load_options.Value | None) -> Iterator[None]:
    """A context in which methods are loaded with these options of set_options(). At its end the options are as they were, also after an exception.

    The options hold for the whole process: methods that other threads load meanwhile have them too, and threads that call set_options() or options()
    wait until the context ends.

    Raises:
        DelegateError, FileNotFoundError, TypeError: as set_options() does.
    """
    with _options_lock:
        before = dict(_options)
        try:
            set_options(**values)
            yield
        finally:
            for name in values.keys() & load_options().keys():
                _set_option(name, before.get(name, load_options()[name].unset))


@dataclasses.dataclass(frozen=True)
class Prewarmed:
    """What prewarm() did."""

    # The methods that were loaded, each with the seconds it took.
    seconds: dict[str, float]
    # Functions that were compiled now, and those that were there already.
    compilations: int
    hits: int


def prewarm(
    path: str | os.PathLike[str],
    *,
    methods: Iterable[str] | None = None,
    run: bool = False,
) -> Prewarmed:
    """Compiles a program's Core ML delegates into the cache, so that later processes load them.

    Set the option `cache_dir` first (set_options), and set the other options to what later processes will use: an entry of the cache is for one engine
    and for the options that its compiled form depends on.

    Args:
        path: The .pte file.
        methods: Names of the methods to prepare; None for all.
        run: Whether to execute each once, with zeros.

    Raises:
        DelegateError: if no cache_dir is set, or a delegate cannot be compiled.
        ValueError: if the program has no method of a name.
    """
    from executorch.runtime import Runtime

    before = cache.stats()
    program = Runtime.get().load_program(os.fspath(path))
    names = sorted(program.method_names) if methods is None else list(methods)
    missing = [name for name in names if name not in program.method_names]
    if missing:
        raise ValueError(f"{os.fspath(path)} has no methods {missing}; it has {sorted(program.method_names)}")
    seconds = {}
    with options(warm_up=True) if run else contextlib.nullcontext():
        for name in names:
            start = time.perf_counter()
            try:
                method = program.load_method(name)
            except RuntimeError as error:
                raise DelegateError(f"prewarm of method {name} of {os.fspath(path)}: {error}; {last_error()}", 0) from error
            if method is None:
                raise DelegateError(f"prewarm of method {name} of {os.fspath(path)}: {last_error()}", 0)
            seconds[name] = time.perf_counter() - start
    after = cache.stats()
    return Prewarmed(seconds=seconds, compilations=after.compilations - before.compilations, hits=after.hits - before.hits)


def reset_states(method: str = "") -> None:
    """Puts the states of loaded methods, such as a decoder's cache, back to their initial values. Waits for executions that are under way.

    Args:
        method: The name of the methods; empty for all methods.

    Raises:
        DelegateError: if no method of that name with a Core ML delegate is loaded.
    """
    _check(_LIBRARY.coreml_delegate_reset_states(method.encode()))


def last_error() -> str:
    """Returns the whole message of the delegate's last failure on this thread, or "" if nothing failed.

    ExecuTorch's own exceptions carry only a number.
    """
    message: bytes = _LIBRARY.coreml_delegate_last_error()
    return message.decode(errors="replace")


def _check(error: int) -> None:
    if error:
        raise DelegateError(last_error(), error)
