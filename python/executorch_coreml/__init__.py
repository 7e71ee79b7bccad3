"""The Core ML delegate: ahead-of-time lowering of PyTorch programs, and what runs them from Python.

Its documented name is `executorch.backends.apple.coreml`, which is this package (_finder.py).
"""

from executorch_coreml import _finder

_finder.install()
