"""The options with which methods are loaded. The delegate's table says which there are (runtime/delegate/options.h)."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
from typing import Any

from executorch_coreml.engine import _compile_helper

# A value of an option: bool, int, or a string; paths may be os.PathLike. None, as an argument, leaves an option as it is.
Value = bool | int | str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class LoadOption:
    """One option of set_options()."""

    name: str
    # "bool", "int", "string", "path" or "choice".
    kind: str
    # The values of a "choice".
    choices: tuple[str, ...]
    doc: str

    @property
    def unset(self) -> bool | int | str:
        """The value that takes the option back to its default."""
        return {"bool": False, "int": 0}.get(self.kind, "")


def parse(table: str | bytes) -> dict[str, LoadOption]:
    """The options of the delegate's table, by name and in its order."""
    return {
        row["name"]: LoadOption(name=row["name"], kind=row["kind"], choices=tuple(row["choices"]), doc=row["doc"])
        for row in json.loads(table)
    }


def set_in(library: Any, option: LoadOption, value: Value) -> int:
    """Sets an option in libcoremldelegate; ExecuTorch's error.

    Raises:
        FileNotFoundError: if the compile helper is to be this package's and is not there.
        TypeError: for a value that is of another type than the option's.
    """
    name = option.name.encode()
    if option.name == "compile_helper" and isinstance(value, bool):
        value = _compile_helper.program(value)
    try:
        if option.kind == "bool":
            return int(library.coreml_delegate_set_bool_option(name, int(value)))  # type: ignore[arg-type]
        if option.kind == "int":
            return int(library.coreml_delegate_set_int_option(name, value))
        return int(library.coreml_delegate_set_string_option(name, os.fsencode(value)))  # type: ignore[arg-type]
    except (TypeError, ValueError, ctypes.ArgumentError) as error:
        raise TypeError(f"the option {option.name} is of the kind {option.kind}, {value!r} is not: {error}") from error
