"""Prints whose PyTorch this is, and how many there are to import."""

import sys
from pathlib import Path

import torch

print(torch.__version__, sum(Path(folder, "torch").is_dir() for folder in sys.path))
