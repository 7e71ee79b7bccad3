"""What a repository that depends on this one loads. docs/bazel_rules.md describes the rules.

    load("@coreml_delegate//:defs.bzl", "coreml_program", "coreml_program_test")
"""

load(
    "//rules:artifacts.bzl",
    _coreml_cc_data = "coreml_cc_data",
    _coreml_package = "coreml_package",
    _coreml_report = "coreml_report",
)
load("//rules:fleet.bzl", _coreml_fleet = "coreml_fleet", _coreml_latency_baseline = "coreml_latency_baseline")
load("//rules:program.bzl", _CoremlProgramInfo = "CoremlProgramInfo", _coreml_program = "coreml_program")
load(
    "//rules:testing.bzl",
    _coreml_partition_test = "coreml_partition_test",
    _coreml_program_test = "coreml_program_test",
    _coreml_size_test = "coreml_size_test",
)
load("//tools/build_defs:py.bzl", _py_binary = "py_binary", _py_test = "py_test")

# As in MODULE.bazel.
VERSION = "0.1.0"

# Bazel's Python rules without the empty __init__.py files that they add by default: those would hide parts of the namespace package
# `executorch`, which is spread over this repository and executorch's wheel.
py_binary = _py_binary
py_test = _py_test

# A model as an action of the build.
CoremlProgramInfo = _CoremlProgramInfo
coreml_program = _coreml_program

# What is made of it.
coreml_cc_data = _coreml_cc_data
coreml_fleet = _coreml_fleet
coreml_latency_baseline = _coreml_latency_baseline
coreml_package = _coreml_package
coreml_report = _coreml_report

# Tests of it.
coreml_partition_test = _coreml_partition_test
coreml_program_test = _coreml_program_test
coreml_size_test = _coreml_size_test
