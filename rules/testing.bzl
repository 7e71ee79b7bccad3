"""Tests of programs. docs/bazel_rules.md has every attribute."""

load("//tools/build_defs:py.bzl", "py_test")

_TESTING = Label("//rules:testing")
_SDK = Label("//python:sdk")

def _main(name):
    return Label("//rules:coreml_rules/{}.py".format(name))

def _label_of(program):
    """A label as messages show it."""
    if program.startswith(":"):
        return "//" + native.package_name() + program
    if "//" not in program:
        return "//" + native.package_name() + ":" + program
    return program

def _is_label(text):
    return text.startswith(("//", ":", "@")) or text.endswith((".npz", ".pt2"))

def _part(name, program, group, tags, testonly):
    """One output group of a program as a target."""
    native.filegroup(
        name = name,
        srcs = [program],
        output_group = group,
        tags = tags + ["manual"],
        testonly = testonly,
        visibility = ["//visibility:private"],
    )

def coreml_program_test(
        name,
        program,
        reference = None,
        inputs = None,
        method = "forward",
        tolerance = None,
        numeric_modes = ["float32", "float16"],
        deps = [],
        data = [],
        size = "large",
        tags = [],
        **kwargs):
    """Runs a program on the portable engine and compares its outputs with PyTorch's, as `coreml verify` does (docs/verify.md).

    On a miss the test names the operation at fault. Its XML file has the measures of every output.

    Args:
      name: of the test.
      program: a coreml_program; or with a reference a coreml_package of one .mlpackage.
      reference: what is right: None for the exported program that was lowered; the label of a .pt2, or of a .npz of expected outputs; or
        "MODULE:FUNCTION" of `deps` that returns (module, example inputs).
      inputs: label of a .npz of inputs; None for the example inputs.
      method: of the program.
      tolerance: of the l2-relative difference of each output; None for what is normal for the model, measured by the test.
      numeric_modes: of "float32" and "float16".
      deps: py_librarys of a reference that is a function.
      data: files that it reads.
      size: as of py_test.
      tags: as of py_test.
      **kwargs: as of py_test.
    """
    if not numeric_modes or [mode for mode in numeric_modes if mode not in ["float32", "float16"]]:
        fail("{}: numeric_modes must be float32, float16 or both, not {}".format(_label_of(name), numeric_modes))
    if reference == None:
        reference = ":{}.reference".format(name)
        _part(name + ".reference", program, "reference", tags, kwargs.get("testonly", None))
    data = data + [program]
    args = ["--label=" + _label_of(program), "--program=$(rootpath {})".format(program), "--method=" + method]
    if _is_label(reference):
        data.append(reference)
        args.append("--reference $(rootpaths {})".format(reference))
    else:
        args.append("--reference " + reference)
    if inputs:
        data.append(inputs)
        args.append("--inputs=$(rootpath {})".format(inputs))
    if tolerance != None:
        args.append("--tolerance={}".format(tolerance))
    py_test(
        name = name,
        srcs = [_main("program_test")],
        args = args + ["--numeric-mode=" + mode for mode in numeric_modes],
        data = data,
        main = _main("program_test"),
        size = size,
        tags = tags,
        deps = deps + [_TESTING, _SDK],
        **kwargs
    )

def coreml_size_test(name, program, max_bytes, size = "small", tags = [], **kwargs):
    """Fails when a program is larger than allowed, and says which of its parts are the largest.

    Args:
      name: of the test.
      program: a coreml_program.
      max_bytes: of the .pte.
      size: as of py_test.
      tags: as of py_test.
      **kwargs: as of py_test.
    """
    if type(max_bytes) != "int" or max_bytes <= 0:
        fail("{}: max_bytes must be a number of bytes, not {}".format(_label_of(name), repr(max_bytes)))
    _part(name + ".facts", program, "facts", tags, kwargs.get("testonly", None))
    py_test(
        name = name,
        srcs = [_main("size_test")],
        args = [
            "--label=" + _label_of(program),
            "--facts=$(rootpath :{}.facts)".format(name),
            "--max-bytes={}".format(max_bytes),
        ],
        data = [":{}.facts".format(name)],
        main = _main("size_test"),
        size = size,
        tags = tags,
        deps = [_TESTING],
        **kwargs
    )

def coreml_partition_test(name, program, outside = [], max_partitions = None, size = "small", tags = [], **kwargs):
    """Fails when more of a program is outside Core ML than allowed, with the partitioner's reasons.

    Args:
      name: of the test.
      program: a coreml_program.
      outside: ops that may stay outside, as the report names them: aten.add.Tensor, or aten.add for all of its overloads.
      max_partitions: how many Core ML partitions there may be; None for any number.
      size: as of py_test.
      tags: as of py_test.
      **kwargs: as of py_test.
    """
    if max_partitions != None and (type(max_partitions) != "int" or max_partitions < 0):
        fail("{}: max_partitions must be a number of partitions, not {}".format(_label_of(name), repr(max_partitions)))
    _part(name + ".partition", program, "partition_json", tags, kwargs.get("testonly", None))
    limit = [] if max_partitions == None else ["--max-partitions={}".format(max_partitions)]
    py_test(
        name = name,
        srcs = [_main("partition_test")],
        args = [
            "--label=" + _label_of(program),
            "--partition=$(rootpath :{}.partition)".format(name),
        ] + ["--outside=" + op for op in outside] + limit,
        data = [":{}.partition".format(name)],
        main = _main("partition_test"),
        size = size,
        tags = tags,
        deps = [_TESTING],
        **kwargs
    )
