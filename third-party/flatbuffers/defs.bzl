"""Code generation with flatc."""

load("@rules_cc//cc:defs.bzl", "cc_library")
load("@rules_python//python:defs.bzl", "py_library")

_FLATC = Label("//third-party/flatbuffers:flatc")
_RUNTIME = Label("//third-party/flatbuffers:flatbuffers")

def _schema_stem(name, srcs):
    if len(srcs) != 1 or not srcs[0].endswith(".fbs"):
        fail("{}: srcs must be one .fbs file of this package".format(name))
    return srcs[0][:-len(".fbs")]

def flatbuffer_cc_library(name, srcs, flatc_args = ["--scoped-enums", "--no-union-value-namespacing"], **kwargs):
    """A cc_library with the C++ header of one schema.

    For `coreml_blob.fbs` of package `schema` it is included as "schema/coreml_blob_generated.h".

    Args:
      name: of the library.
      srcs: one .fbs file.
      flatc_args: further options of `flatc --cpp`.
      **kwargs: visibility, tags, testonly.
    """
    stem = _schema_stem(name, srcs)
    header = stem + "_generated.h"
    native.genrule(
        name = name + "_flatc",
        srcs = srcs,
        outs = [header],
        cmd = "$(execpath {}) --cpp {} -o $(RULEDIR) $(execpath {})".format(_FLATC, " ".join(flatc_args), srcs[0]),
        tools = [_FLATC],
        **kwargs
    )
    cc_library(
        name = name,
        hdrs = [header],
        deps = [_RUNTIME],
        **kwargs
    )

def flatbuffer_py_library(name, srcs, out = None, imports = [], flatc_args = [], **kwargs):
    """A py_library with all classes of one schema in one module.

    For `coreml_blob.fbs` of package `schema` it is imported as `schema.coreml_blob_generated`.

    Args:
      name: of the library.
      srcs: one .fbs file.
      out: name of the module's file, by default STEM_generated.py.
      imports: as of py_library.
      flatc_args: further options of `flatc --python`.
      **kwargs: visibility, tags, testonly.
    """
    stem = _schema_stem(name, srcs)
    generated = stem + "_generated.py"
    out = out or generated
    native.genrule(
        name = name + "_flatc",
        srcs = srcs,
        outs = [out],
        # flatc names the file itself, and would write beside another rule's output.
        cmd = "T=$$(mktemp -d) && $(execpath {flatc}) --python --gen-onefile {args} -o $$T $(execpath {src}) && cp $$(find $$T -name '*.py' -size +0) $@ && rm -r $$T"
            .format(flatc = _FLATC, args = " ".join(flatc_args), src = srcs[0]),
        tools = [_FLATC],
        **kwargs
    )
    py_library(
        name = name,
        srcs = [out],
        imports = imports,
        deps = [Label("//third-party/pypi:flatbuffers"), Label("//third-party/pypi:numpy")],
        **kwargs
    )
