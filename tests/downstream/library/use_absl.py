"""Prints whose absl this is."""

import absl

print(absl.WHOSE)
