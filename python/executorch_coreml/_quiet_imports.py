"""What other packages log when they are imported although nothing is wrong, such as torchao on a machine without CUDA, is kept quiet."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

# Logger -> its messages. A filter works on the logger it is attached to, not on that logger's children.
_NOISE = {
    "coremltools": re.compile(
        r"^Failed to load \w+: .*coremltools\.libcoremlpython"
        r"|^scikit-learn version \S+ is not supported"
        r"|has not been tested with coremltools"
    ),
    "coremltools.models.model": re.compile(r"^Failed to load \w+: .*coremltools\.libcoremlpython"),
    "torchao": re.compile(r"^Failed to load \S+\.so: |^Skipping import of cpp extensions"),
    "torch.utils._pytree": re.compile(r"^<enum '\w+'> is an Enum subclass"),
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it, `_NOISE` is not logged."""
    with contextlib.ExitStack() as stack:
        for name, noise in _NOISE.items():

            def is_wanted(record: logging.LogRecord, noise: re.Pattern[str] = noise) -> bool:
                return noise.search(record.getMessage()) is None

            noisy = logging.getLogger(name)
            noisy.addFilter(is_wanted)
            stack.callback(noisy.removeFilter, is_wanted)
        yield
