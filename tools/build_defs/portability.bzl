"""Compiling this workspace's C++ for other systems, to see that it can be: nothing is linked or run.

The compiler is Zig's (the PyPI distribution ziglang): clang with libc++ and the C headers of macOS and of Linux's libraries.
"""

load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

_SOURCES = [".cc"]

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
    return flags + getattr(attr, "copts", [])

def _compile(ctx, source, triple, flags, headers):
    target = ctx.actions.declare_file("{}.portable/{}.{}.o".format(ctx.label.name, source.basename, triple))
    ctx.actions.run_shell(
        # Zig wants a folder for what it compiles by itself (nothing here).
        command = """set -e
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
export ZIG_GLOBAL_CACHE_DIR="$cache" ZIG_LOCAL_CACHE_DIR="$cache" HOME="$cache"
"$@" """,
        arguments = [
            "{}/ziglang/zig".format(ctx.file._zig.path),
            "c++",
            "-target",
            triple,
        ] + flags + ["-c", source.path, "-o", target.path],
        inputs = depset([source, ctx.file._zig], transitive = [headers]),
        mnemonic = "PortableCompile",
        outputs = [target],
        progress_message = "Compiling {} for {}".format(source.short_path, triple),
    )
    return target

_TRIPLES = ["aarch64-linux-gnu", "aarch64-macos"]

def _portable_objects_aspect_impl(target, ctx):
    transitive = [dep[PortableObjectsInfo].objects for dep in getattr(ctx.rule.attr, "deps", []) if PortableObjectsInfo in dep]
    objects = []
    if CcInfo in target and ctx.label.workspace_name == "" and ctx.rule.kind == "cc_library":
        context = target[CcInfo].compilation_context
        flags = _flags(context, ctx.rule.attr)
        for file in ctx.rule.files.srcs:
            # Generated sources are protoc's and flatc's.
            if not file.is_source or "." + file.extension not in _SOURCES:
                continue
            for triple in _TRIPLES:
                objects.append(struct(
                    source = file,
                    triple = triple,
                    object = _compile(ctx, file, triple, flags, context.headers),
                ))
    return [PortableObjectsInfo(objects = depset(objects, transitive = transitive))]

_portable_objects_aspect = aspect(
    implementation = _portable_objects_aspect_impl,
    attr_aspects = ["deps"],
    attrs = {"_zig": attr.label(allow_single_file = True, default = "@coreml_delegate_pypi_ziglang//:site_packages")},
)

def _portable_objects_impl(ctx):
    objects = []
    lines = []
    for entry in depset(transitive = [dep[PortableObjectsInfo].objects for dep in ctx.attr.deps]).to_list():
        folder = entry.source.short_path.rpartition("/")[0]
        if folder not in ctx.attr.folders:
            continue
        objects.append(entry.object)
        lines.append("{} {} {}".format(entry.source.short_path, entry.triple, entry.object.short_path))
    table = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.write(table, "\n".join(sorted(lines)) + "\n")
    return [DefaultInfo(files = depset([table] + objects), runfiles = ctx.runfiles(files = [table] + objects))]

portable_objects = rule(
    implementation = _portable_objects_impl,
    doc = """The sources below `deps` that lie in `folders`, compiled for arm64 Linux and arm64 macOS with this workspace's flags.

NAME.txt has a line `SOURCE TRIPLE OBJECT` for each.""",
    attrs = {
        "deps": attr.label_list(aspects = [_portable_objects_aspect], mandatory = True, providers = [CcInfo]),
        "folders": attr.string_list(mandatory = True, doc = "Without what lies below them."),
    },
)
