"""Compiling this workspace's C++ and Objective-C++ for other systems, to see that it can be: nothing is linked or run.

The compiler is Zig's (the PyPI distribution ziglang): clang with libc++ and the C headers of macOS and of Linux's libraries. The Objective-C++ sees Core ML as
Apple publishes it (//runtime/engine/coreml/api:headers).
"""

load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")
load(":apple.bzl", "MINIMUM_OS")
load(":objc.bzl", "GNUSTEP_COPTS")

PortableObjectsInfo = provider(
    doc = "Object files of the sources of this workspace below a target.",
    fields = {"objects": "depset of structs (source: File, triple: string, object: File)"},
)

def _flags(context, attr):
    flags = ["-I" + path for path in context.includes.to_list()]
    for path in context.quote_includes.to_list():
        flags += ["-iquote", path]
    system = context.system_includes.to_list()
    if hasattr(context, "external_includes"):
        system += context.external_includes.to_list()
    for path in system:
        flags += ["-isystem", path]
    flags += ["-D" + define for define in context.defines.to_list()]
    return flags + [flag for flag in getattr(attr, "copts", []) if flag not in GNUSTEP_COPTS]

# Of libc++ as Apple ships it, for a system that Zig has no C library for: with the marks of the systems that its functions are in from.
_LIBCXX_OF_APPLE = [
    "ABI_VERSION=1",
    "ABI_NAMESPACE=__1",
    "HARDENING_MODE_DEFAULT=2",
    "ASSERTION_SEMANTIC_DEFAULT=2",
    "HAS_THREADS=1",
    "HAS_MONOTONIC_CLOCK=1",
    "HAS_VENDOR_AVAILABILITY_ANNOTATIONS=1",
    "HAS_THREAD_API_PTHREAD=1",
    "HAS_LOCALIZATION=1",
    "HAS_UNICODE=1",
    "HAS_WIDE_CHARACTERS=1",
    "HAS_FILESYSTEM=1",
    "HAS_RANDOM_DEVICE=1",
    "HAS_TERMINAL=1",
    "HAS_TIME_ZONE_DATABASE=0",
    "PSTL_BACKEND_SERIAL",
]

def _compiler(zig, triple):
    """The command for one system, without the source and what is made of it."""
    command = ["{}/ziglang/zig".format(zig.path), "c++", "-target", triple, "-fno-sanitize=all"]
    if not [system for system in _APPLE if triple.startswith(system)]:
        return command
    lib = zig.path + "/ziglang/lib"
    return command + [
        # Else Zig tries to build a libc++ for the system.
        "-nostdinc",
        "-nostdinc++",
        "-nostdlib",
        "-nostdlib++",
        "-I" + lib + "/libcxx/include",
        "-I" + lib + "/libcxxabi/include",
        "-isystem",
        lib + "/include",
        "-isystem",
        lib + "/libc/include/any-darwin-any",
    ] + ["-D_LIBCPP_" + define for define in _LIBCXX_OF_APPLE]

def _objective_cxx(triple, headers):
    """The further flags for a source in Objective-C++; `headers` are the folders of Core ML's and Foundation's."""
    flags = [
        "-xobjective-c++",
        "-fobjc-runtime=" + triple.replace("aarch64-", "").replace(".", "-", 1).replace("macos", "macosx").replace("tvos", "ios"),
        "-fblocks",
        "-fobjc-exceptions",
        "-Werror",
        # What is newer than the oldest system, and stands in no @available.
        "-Wunguarded-availability",
        "-Wunguarded-availability-new",
    ]
    for folder in headers:
        flags += ["-isystem", folder]
    return flags

def _folders_above(files):
    """Of .../CoreML/CoreML.h and the like, the folder that `#import <CoreML/CoreML.h>` looks in."""
    return {file.dirname.rpartition("/")[0]: True for file in files}.keys()

# Zig wants a folder for what it compiles by itself (nothing here).
_WITH_CACHE = """set -e
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
export ZIG_GLOBAL_CACHE_DIR="$cache" ZIG_LOCAL_CACHE_DIR="$cache" HOME="$cache"
"""

def _compile(ctx, source, triple, flags, headers):
    target = ctx.actions.declare_file("{}.portable/{}.{}.o".format(ctx.label.name, source.basename, triple))
    ctx.actions.run_shell(
        command = _WITH_CACHE + "\"$@\" ",
        arguments = _compiler(ctx.file._zig, triple) + flags + ["-c", source.path, "-o", target.path],
        inputs = depset([source, ctx.file._zig], transitive = [headers]),
        mnemonic = "PortableCompile",
        outputs = [target],
        progress_message = "Compiling {} for {}".format(source.short_path, triple),
    )
    return target

_IOS = "aarch64-ios." + MINIMUM_OS["ios"]
_TVOS = "aarch64-tvos." + MINIMUM_OS["tvos"]
_WATCHOS = "aarch64-watchos." + MINIMUM_OS["watchos"]
_MACOS = "aarch64-macos." + MINIMUM_OS["macos"]
_APPLE = ["aarch64-" + system for system in MINIMUM_OS]

_TRIPLES = ["aarch64-linux-gnu", _MACOS, _IOS]

# Not watches: clang takes arm64 ones for systems of 2025 and newer, which have everything.
_OBJECTIVE_CXX_TRIPLES = [_IOS, _MACOS, _TVOS]

# Packages that ask the operating system for things, which these two do not have all of.
_MORE_TRIPLES = {
    "base": [_TVOS, _WATCHOS],
    "runtime/engine/helper": [_TVOS, _WATCHOS],
}

def _without_gnustep(flags):
    """Without the folders that GNUstep's headers and those of our own framework are looked for in."""
    kept = []
    for flag in flags:
        if "gnustep" not in flag:
            kept.append(flag)
        elif kept and kept[-1] in ["-iquote", "-isystem"]:
            kept.pop()
    return kept

def _compile_objective_cxx(target, ctx):
    """The .mm files of an objcxx_library, as Apple's compiler sees them: without GNUstep and our own framework."""
    sources = [file for file in getattr(ctx.rule.files, "textual_hdrs", []) if file.extension == "mm"]
    if not sources:
        return []
    context = target[CcInfo].compilation_context
    apple = ctx.files._apple_headers
    headers = depset(apple + [file for file in ctx.rule.files.srcs if file.extension == "h"], transitive = [context.headers])
    flags = _without_gnustep(_flags(context, ctx.rule.attr))
    return [
        struct(
            source = source,
            triple = triple,
            object = _compile(ctx, source, triple, flags + _objective_cxx(triple, _folders_above(apple)), headers),
        )
        for source in sources
        for triple in _OBJECTIVE_CXX_TRIPLES
    ]

def _portable_objects_aspect_impl(target, ctx):
    transitive = [dep[PortableObjectsInfo].objects for dep in getattr(ctx.rule.attr, "deps", []) if PortableObjectsInfo in dep]
    objects = []
    if CcInfo in target and ctx.label.workspace_name == "" and ctx.rule.kind == "cc_library":
        context = target[CcInfo].compilation_context
        flags = _flags(context, ctx.rule.attr)
        for file in ctx.rule.files.srcs:
            # Generated sources are protoc's and flatc's.
            if not file.is_source or file.extension != "cc":
                continue
            for triple in _TRIPLES + _MORE_TRIPLES.get(ctx.label.package, []):
                objects.append(struct(
                    source = file,
                    triple = triple,
                    object = _compile(ctx, file, triple, flags, context.headers),
                ))
        objects += _compile_objective_cxx(target, ctx)
    return [PortableObjectsInfo(objects = depset(objects, transitive = transitive))]

_portable_objects_aspect = aspect(
    implementation = _portable_objects_aspect_impl,
    attr_aspects = ["deps"],
    attrs = {
        "_apple_headers": attr.label(default = "//runtime/engine/coreml/api:headers"),
        "_zig": attr.label(allow_single_file = True, default = "@coreml_delegate_pypi_ziglang//:site_packages"),
    },
)

def _portable_objects_impl(ctx):
    objects = []
    lines = []
    for entry in depset(transitive = [dep[PortableObjectsInfo].objects for dep in ctx.attr.deps]).to_list():
        folder = entry.source.short_path.rpartition("/")[0]
        if folder not in ctx.attr.folders or entry.source.extension not in ctx.attr.extensions or not [system for system in ctx.attr.systems if entry.triple.startswith("aarch64-" + system)]:
            continue
        objects.append(entry.object)
        lines.append("{} {} {}".format(entry.source.short_path, entry.triple, entry.object.short_path))
    table = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.write(table, "\n".join(sorted(lines)) + "\n")
    return [DefaultInfo(files = depset([table] + objects), runfiles = ctx.runfiles(files = [table] + objects))]

portable_objects = rule(
    implementation = _portable_objects_impl,
    doc = """The sources below `deps` that lie in `folders`, compiled for arm64 Linux, macOS and iOS, some for tvOS and watchOS, with this
workspace's flags and for the oldest systems; Objective-C++ for macOS, iOS and tvOS.

NAME.txt has a line `SOURCE TRIPLE OBJECT` for each.""",
    attrs = {
        "deps": attr.label_list(aspects = [_portable_objects_aspect], mandatory = True, providers = [CcInfo]),
        "extensions": attr.string_list(default = ["cc"], doc = "Of the sources: cc, mm."),
        "folders": attr.string_list(mandatory = True, doc = "Without what lies below them."),
        "systems": attr.string_list(mandatory = True, doc = "Of ios, linux, macos, tvos and watchos."),
    },
)

def _refused_source_impl(ctx):
    said = ctx.actions.declare_file(ctx.label.name + ".txt")
    is_objective_cxx = ctx.file.src.extension == "mm"
    flags = _objective_cxx(ctx.attr.triple, _folders_above(ctx.files._apple_headers)) if is_objective_cxx else []
    ctx.actions.run_shell(
        command = _WITH_CACHE + """said=$1
shift
if "$@" 2> "$said"; then
  echo "this was to be refused, and compiles" >&2
  exit 1
fi""",
        arguments = [said.path] + _compiler(ctx.file._zig, ctx.attr.triple) + flags + ["-std=c++20", "-c", ctx.file.src.path, "-o", "/dev/null"],
        inputs = [ctx.file.src, ctx.file._zig] + ctx.files._apple_headers,
        mnemonic = "PortableRefusal",
        outputs = [said],
    )
    return [DefaultInfo(files = depset([said]), runfiles = ctx.runfiles(files = [said]))]

refused_source = rule(
    implementation = _refused_source_impl,
    doc = "A control: a source that the compiler must refuse for a system. NAME.txt has what it says.",
    attrs = {
        "src": attr.label(allow_single_file = [".cc", ".mm"], mandatory = True),
        "triple": attr.string(mandatory = True),
        "_apple_headers": attr.label(default = "//runtime/engine/coreml/api:headers"),
        "_zig": attr.label(allow_single_file = True, default = "@coreml_delegate_pypi_ziglang//:site_packages"),
    },
)
