"""C++ libraries and tools that come from the operating system's packages."""

load(":aliases.bzl", "alias_repository")
load(":missing.bzl", "MISSING", "write_missing_repository")

_BUILD = """load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])

exports_files({files})

cc_library(
    name = "{library}",
    hdrs = glob({globs}),
    includes = ["include"],
    linkopts = select({{
        "@coreml_delegate//third-party:is_static": {static_linkopts},
        "//conditions:default": {linkopts},
    }}),
)
"""

_EXTRA_BUILD = """
cc_library(
    name = "{name}",
    linkopts = {linkopts},
    deps = [":{library}"],
)
"""

# What links a library of an SDK, which has its headers where the compiler looks by itself.
_SDK_BUILD = """
cc_library(
    name = "{name}",
    linkopts = {linkopts},
    visibility = ["//visibility:public"],
)
"""

# The target of a library on Apple's systems, where `sdk_linkopts` is given.
SDK = "of_the_sdk"

# Where a distribution or a package manager puts headers; the first that has the library wins.
_PREFIXES = ["/usr", "/usr/local", "/opt/homebrew", "/opt/local"]

def _system_library_impl(repository_ctx):
    attr = repository_ctx.attr
    probe = attr.headers[0]
    prefix = None
    for candidate in _PREFIXES:
        if repository_ctx.path("{}/include/{}".format(candidate, probe)).exists:
            prefix = candidate
            break
    missing = [] if prefix else ["header {}".format(probe)]
    tools = {tool: repository_ctx.which(tool) for tool in attr.tools}
    missing += ["program {}".format(tool) for tool, path in tools.items() if not path]
    if missing:
        message = "{}: {} not found. Debian: apt-get install {}".format(
            attr.library,
            ", ".join(missing),
            " ".join(attr.debian_packages),
        )
        write_missing_repository(repository_ctx, message, libraries = [attr.library] + list(attr.more), tools = attr.tools)
        if attr.sdk_linkopts:
            missing_build = repository_ctx.read("BUILD.bazel")
            repository_ctx.file("BUILD.bazel", missing_build + _SDK_BUILD.format(name = SDK, linkopts = repr(attr.sdk_linkopts)), executable = False)
        return
    for tool, path in tools.items():
        repository_ctx.symlink(path, tool)
    globs = []
    for header in attr.headers:
        # `a/b.h` stands for the whole folder `a`; a bare name for itself.
        top = header.split("/")[0]
        repository_ctx.symlink("{}/include/{}".format(prefix, top), "include/" + top)
        globs.append("include/" + top + ("/**" if top != header else ""))
    linkopts = attr.linkopts if prefix == "/usr" else ["-L{}/lib".format(prefix)] + attr.linkopts
    build = _BUILD.format(
        globs = repr(globs),
        library = attr.library,
        linkopts = repr(linkopts),
        files = repr(attr.tools + [MISSING]),
        static_linkopts = repr(linkopts[:-len(attr.linkopts)] + attr.static_linkopts if attr.static_linkopts else linkopts),
    )
    for name, flags in attr.more.items():
        build += _EXTRA_BUILD.format(library = attr.library, linkopts = repr(flags), name = name)
    if attr.sdk_linkopts:
        build += _SDK_BUILD.format(name = SDK, linkopts = repr(attr.sdk_linkopts))
    repository_ctx.file(MISSING, "", executable = False)
    repository_ctx.file("BUILD.bazel", build, executable = False)
    repository_ctx.file("WORKSPACE", "", executable = False)

system_library = repository_rule(
    implementation = _system_library_impl,
    doc = "Headers (as links, so that they are declared inputs), link flags and tools of one installed library.",
    attrs = {
        "debian_packages": attr.string_list(mandatory = True, doc = "Named in the error when something is missing."),
        "headers": attr.string_list(mandatory = True, doc = "One header per include folder; the first tells where the library is."),
        "library": attr.string(mandatory = True, doc = "Name of the cc_library."),
        "linkopts": attr.string_list(),
        "static_linkopts": attr.string_list(doc = "Instead of linkopts where //third-party:static is set."),
        "more": attr.string_list_dict(doc = "Further cc_libraries on top of it: name and link flags."),
        "sdk_linkopts": attr.string_list(doc = "Of a library that Apple's SDKs have, which is taken on their systems in this one's place."),
        "tools": attr.string_list(doc = "Programs, exported under their names."),
    },
    local = True,
)

def _library(libraries, name, library, tools = [], **kwargs):
    replaced = libraries.get(name.replace("coreml_delegate_", ""))
    if not replaced:
        system_library(name = name, library = library, tools = tools, **kwargs)
        return
    aliases = {library: replaced.target}
    for more in kwargs.get("more", {}):
        aliases[more] = replaced.target
    if kwargs.get("sdk_linkopts"):
        aliases[SDK] = replaced.target
    if tools and not replaced.tool:
        fail("{}: the library comes with the program {}, so name one of the same version too (tool = ...)".format(name, tools[0]))
    for tool in tools:
        aliases[tool] = replaced.tool
    alias_repository(name = name, aliases = aliases)

SYSTEM_LIBRARIES = ["flatbuffers", "google_benchmark", "googletest", "nlohmann_json", "protobuf", "sqlite"]

def system_repositories(libraries = {}):
    """Declares a repository per system library.

    Args:
      libraries: name of SYSTEM_LIBRARIES -> struct(target, tool) of labels, for those that another workspace brings.
    """
    _library(
        libraries,
        name = "coreml_delegate_flatbuffers",
        debian_packages = ["flatbuffers-compiler", "libflatbuffers-dev"],
        headers = ["flatbuffers/flatbuffers.h"],
        library = "flatbuffers",
        tools = ["flatc"],
    )
    _library(
        libraries,
        name = "coreml_delegate_google_benchmark",
        debian_packages = ["libbenchmark-dev"],
        headers = ["benchmark/benchmark.h"],
        library = "google_benchmark",
        linkopts = ["-lbenchmark", "-lpthread"],
    )
    _library(
        libraries,
        name = "coreml_delegate_googletest",
        debian_packages = ["libgtest-dev", "libgmock-dev"],
        headers = ["gtest/gtest.h", "gmock/gmock.h"],
        library = "googletest",
        linkopts = ["-lgmock", "-lgtest", "-lpthread"],
        more = {"main": ["-lgtest_main"]},
    )
    _library(
        libraries,
        name = "coreml_delegate_nlohmann_json",
        debian_packages = ["nlohmann-json3-dev"],
        headers = ["nlohmann/json.hpp"],
        library = "nlohmann_json",
    )
    _library(
        libraries,
        name = "coreml_delegate_protobuf",
        debian_packages = ["libprotobuf-dev", "protobuf-compiler"],
        headers = ["google/protobuf/message.h"],
        library = "protobuf",
        linkopts = ["-lprotobuf", "-lpthread"],
        # Debian's archive is not position-independent; its lite library, which mil.proto needs no more than, travels beside.
        static_linkopts = ["-lprotobuf-lite", "-lpthread"],
        tools = ["protoc"],
    )
    _library(
        libraries,
        name = "coreml_delegate_sqlite",
        debian_packages = ["libsqlite3-dev"],
        headers = ["sqlite3.h", "sqlite3ext.h"],
        library = "sqlite",
        linkopts = ["-lsqlite3"],
        sdk_linkopts = ["-lsqlite3"],
        static_linkopts = ["-l:libsqlite3.a", "-lm"],
    )
