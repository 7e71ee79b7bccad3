"""In the place of a PyTorch of their own."""

__version__ = "theirs"
