"""What a repository rule writes when the machine lacks what it wraps.

Fetching such a repository succeeds, so that `bazel fetch --all`, `bazel vendor` and builds of other targets go on. Its targets are
incompatible with every platform, by a constraint whose name says what is missing and what to install: Bazel prints that name when
somebody asks for a target that needs it, and skips such targets in `//...`. //third-party:machine_test fails for each of them.
"""

_BUILD = """load("@rules_cc//cc:defs.bzl", "cc_library")
load("@rules_python//python:defs.bzl", "py_library")

package(default_visibility = ["//visibility:public"])

constraint_setting(name = "machine")

constraint_value(
    name = {constraint},
    constraint_setting = ":machine",
)

exports_files({files})
"""

_LIBRARY = """
cc_library(
    name = "{name}",
    target_compatible_with = [":" + {constraint}],
)
"""

# A toolchain for no machine: Bazel goes on to the next that is registered.
_TOOLCHAIN = """
filegroup(name = "no_runtime")

toolchain(
    name = "toolchain",
    exec_compatible_with = [":" + {constraint}],
    toolchain = ":no_runtime",
    toolchain_type = "@rules_python//python:toolchain_type",
)
"""

_WHEEL = """
py_library(
    name = "pkg",
    target_compatible_with = [":" + {constraint}],
)

py_library(
    name = "site_packages",
    target_compatible_with = [":" + {constraint}],
)
"""

_TOOL = """#!/bin/sh
echo "{message}" >&2
exit 1
"""

# The file in which every repository of this kind says what it lacks; empty for nothing.
MISSING = "missing.txt"

def constraint_name(message):
    """The message as a target's name.

    Args:
      message: a sentence.

    Returns:
      The same with what a name cannot hold as underscores.
    """
    kept = [c if c.isalnum() or c in "+-.," else "_" for c in message.elems()]
    return "".join(kept)

def write_missing_repository(repository_ctx, message, libraries = [], tools = [], toolchain = False, is_wheel = False):
    """Writes the whole repository.

    Args:
      repository_ctx: the context of the repository rule.
      message: what is missing and what to do, one sentence.
      libraries: names of its cc_librarys.
      tools: names of its programs, in whose place a script prints the message and fails.
      toolchain: whether it has a Python toolchain.
      is_wheel: whether it is a Python distribution.
    """
    constraint = repr(constraint_name(message))
    build = _BUILD.format(constraint = constraint, files = repr(tools + [MISSING]))
    for name in libraries:
        build += _LIBRARY.format(constraint = constraint, name = name)
    if toolchain:
        build += _TOOLCHAIN.format(constraint = constraint)
    if is_wheel:
        build += _WHEEL.format(constraint = constraint)
    for tool in tools:
        repository_ctx.file(tool, _TOOL.format(message = message))
    repository_ctx.file(MISSING, message + "\n", executable = False)
    repository_ctx.file("BUILD.bazel", build, executable = False)
    repository_ctx.file("WORKSPACE", "", executable = False)
