# Part of a package whose other parts lie elsewhere on sys.path, in the executorch wheel: what is here shadows its namesakes there.
__path__ = __import__("pkgutil").extend_path(__path__, __name__)
