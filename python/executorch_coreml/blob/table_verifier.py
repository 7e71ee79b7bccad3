"""Whether the table of a blob may be read through the generated accessors, asked of the C++ reader: FlatBuffers' Python package has no verifier.

Thread rule: everything may be called from several threads at once.
"""

from __future__ import annotations

import ctypes
import functools

from executorch_coreml import _libraries


@functools.cache
def _library() -> ctypes.CDLL:
    library = _libraries.load("libcoreml_blob.so", "verifies blobs")
    library.coreml_blob_verify_table.argtypes = [ctypes.c_char_p, ctypes.c_uint64]
    library.coreml_blob_verify_table.restype = ctypes.c_void_p
    library.coreml_blob_free.argtypes = [ctypes.c_void_p]
    library.coreml_blob_free.restype = None
    return library


def problem(table: bytes | memoryview) -> str | None:
    """What is wrong with a table, size prefix included, in words; None where every offset and size in it stays inside and all that is required is
    there.

    Raises:
        ImportError: if libcoreml_blob.so is not there.
    """
    library = _library()
    error: int | None = library.coreml_blob_verify_table(bytes(table), len(table))
    if not error:
        return None
    try:
        return ctypes.string_at(error).decode(errors="replace").removeprefix("corrupt_data: ")
    finally:
        library.coreml_blob_free(error)
