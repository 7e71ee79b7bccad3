"""The errors that reading or evaluating a model ends with, in the words and codes of the native code (docs/errors.md)."""

from __future__ import annotations

from executorch_coreml.engine._native import EngineError


def _error(code: str, message: str, artifact: str) -> EngineError:
    return EngineError(f"{code}: {message} [{artifact}]", code, message, artifact)


def corrupt(message: str, artifact: str) -> EngineError:
    """A model that contradicts its own format."""
    return _error("corrupt_data", message, artifact)


def unsupported(message: str, artifact: str) -> EngineError:
    """A valid model with something that is not evaluated here."""
    return _error("unsupported", message, artifact)


def invalid(message: str, artifact: str) -> EngineError:
    """Values that the model does not take."""
    return _error("invalid_argument", message, artifact)


def too_new(message: str, artifact: str) -> EngineError:
    return _error("version_too_new", message, artifact)


def not_found(message: str, artifact: str) -> EngineError:
    return _error("not_found", message, artifact)


def exhausted(message: str, artifact: str) -> EngineError:
    """More memory than a model may take."""
    return _error("resource_exhausted", message, artifact)
