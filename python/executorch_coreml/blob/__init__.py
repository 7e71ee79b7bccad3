"""The delegate's blob in Python: what docs/blob_format.md defines, written and read.

content = blob.Blob(kind=blob.Kind.PACKAGE, files=(blob.File("Manifest.json", blob.InlineBytes(b"{}")),), functions=(...))
processed_bytes = blob.to_bytes(content)
blob.read(processed_bytes).function("main")
"""

from executorch_coreml.blob.content import (
    MAJOR_VERSION,
    MINOR_VERSION,
    UNBOUNDED,
    Blob,
    DataType,
    Dimension,
    File,
    FileOnDisk,
    Function,
    InlineBytes,
    Kind,
    NamedData,
    Reference,
    Request,
    State,
    Tensor,
    content_id,
)
from executorch_coreml.blob.reader import (
    CorruptBlobError,
    UnsupportedVersionError,
    open_delegate_call,
    read,
    read_blob,
)
from executorch_coreml.blob.stock_form import obstacle as stock_obstacle
from executorch_coreml.blob.writer import reference_to_bytes, to_bytes, write

__all__ = [
    "MAJOR_VERSION",
    "MINOR_VERSION",
    "UNBOUNDED",
    "Blob",
    "CorruptBlobError",
    "DataType",
    "Dimension",
    "File",
    "FileOnDisk",
    "Function",
    "InlineBytes",
    "Kind",
    "NamedData",
    "Reference",
    "Request",
    "State",
    "Tensor",
    "UnsupportedVersionError",
    "content_id",
    "open_delegate_call",
    "read",
    "read_blob",
    "reference_to_bytes",
    "stock_obstacle",
    "to_bytes",
    "write",
]
