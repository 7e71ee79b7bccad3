# Within Bazel no .pth file installs the finder of `executorch.backends.apple.coreml`; this does, before any part of the executorch wheel is
# imported. Everything of that wheel is found through the rest of sys.path.
from executorch_coreml import _finder

_finder.install()
__path__ = __import__("pkgutil").extend_path(__path__, __name__)
