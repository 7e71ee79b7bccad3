"""What torch computes anew in every lowering and always finds the same, computed once in a process: about a third of a small program's time.

Only for processes that lower programs by the thousand and register no operators in between.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch._C import DispatchKey


def _py_impl(self: Any, key: Any) -> Callable[[Any], Any]:
    """OperatorBase.py_impl for a dispatch key. torch's own makes a new type annotation for each of some 6,000 registrations in a decomposition."""
    if not isinstance(key, DispatchKey) or key is DispatchKey.Python:
        made: Callable[[Any], Any] = _original_py_impl(self, key)
        return made

    def register(function: Any) -> Any:
        if key in self.py_kernels:
            raise RuntimeError(f"Trying to override a python impl for {key} on operator {self.name()}")
        self.py_kernels[key] = function
        self._dispatch_cache.clear()
        return function

    return register


_original_py_impl = torch._ops.OperatorBase.py_impl


def install() -> None:
    """Makes lowering quicker in this process from now on."""
    torch._export.utils._materialize_cpp_cia_ops = functools.cache(torch._export.utils._materialize_cpp_cia_ops)
    torch._ops.OperatorBase.py_impl = _py_impl
