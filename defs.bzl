"""What a repository that depends on this one loads.

    load("@coreml_delegate//:defs.bzl", "py_binary", "py_test")
"""

load("//tools/build_defs:py.bzl", _py_binary = "py_binary", _py_test = "py_test")

# As in MODULE.bazel.
VERSION = "0.1.0"

# Bazel's Python rules without the empty __init__.py files that they add by default: those would hide parts of the namespace package
# `executorch`, which is spread over this repository and executorch's wheel.
py_binary = _py_binary
py_test = _py_test
