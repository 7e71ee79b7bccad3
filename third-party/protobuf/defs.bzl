"""Code generation with protoc."""

load("@rules_cc//cc:defs.bzl", "cc_library")

_PROTOC = Label("//third-party/protobuf:protoc")
_RUNTIME = Label("//third-party/protobuf:protobuf")

def cc_proto_library(name, srcs, **kwargs):
    """A cc_library with the C++ classes of one .proto file, which imports no other file of the workspace.

    For `mil.proto` of package `runtime/model` it is included as "runtime/model/mil.pb.h".

    Args:
      name: of the library.
      srcs: one .proto file.
      **kwargs: visibility, tags, testonly.
    """
    if len(srcs) != 1 or not srcs[0].endswith(".proto"):
        fail("{}: srcs must be one .proto file of this package".format(name))
    stem = srcs[0][:-len(".proto")]

    # protoc writes `PACKAGE/FILE` below its output folder, and into the include lines: both roots are what is left of the paths
    # without it, also when this runs in another repository's build.
    native.genrule(
        name = name + "_protoc",
        srcs = srcs,
        outs = [stem + ".pb.h", stem + ".pb.cc"],
        cmd = ("SOURCE=$(execpath {src}); OUT=$(RULEDIR); " +
               "IN=$${{SOURCE%{package}/{src}}}; OUT=$${{OUT%{package}}}; " +
               "$(execpath {protoc}) --proto_path=$${{IN:-.}} --cpp_out=$$OUT $$SOURCE").format(
            package = native.package_name(),
            protoc = _PROTOC,
            src = srcs[0],
        ),
        tools = [_PROTOC],
        **kwargs
    )
    cc_library(
        name = name,
        srcs = [stem + ".pb.cc"],
        hdrs = [stem + ".pb.h"],
        copts = ["-std=c++20", "-w"],
        deps = [_RUNTIME],
        **kwargs
    )
