"""What is made of programs: packages, pages, data of C++ programs. docs/bazel_rules.md has every attribute."""

load("@rules_cc//cc:defs.bzl", "cc_library")
load(":program.bzl", "CoremlProgramInfo", "check_executions", "label_text", "run_action")

def _coreml_package_impl(ctx):
    if bool(ctx.attr.program) == bool(ctx.files.mlpackage):
        fail("{}: set either `program` or `mlpackage`".format(label_text(ctx.label)))
    if ctx.attr.program:
        folder = ctx.attr.program[CoremlProgramInfo].packages
    else:
        folder = ctx.actions.declare_directory(ctx.label.name + ".mlpackage")
        args = ctx.actions.args()
        args.add("package")
        args.add("--label", label_text(ctx.label))
        args.add_all(ctx.files.mlpackage, before_each = "--source", expand_directories = False)
        args.add("--folder", folder.path)
        run_action(
            ctx,
            ctx.executable._builder,
            "CoremlBuild",
            args,
            depset(ctx.files.mlpackage),
            [folder],
            "Checking {}".format(label_text(ctx.label)),
        )
    return [DefaultInfo(files = depset([folder]), runfiles = ctx.runfiles(files = [folder]))]

coreml_package = rule(
    implementation = _coreml_package_impl,
    doc = """A folder of model packages: of a program, METHOD_INDEX.mlpackage for each of its Core ML delegates.

Or of a .mlpackage whose files are in the source tree: NAME.mlpackage, which is read once and refused if it is no package.""",
    attrs = {
        "mlpackage": attr.label_list(allow_files = True, doc = "The files of a .mlpackage: glob([\"x.mlpackage/**\"])."),
        "program": attr.label(doc = "A coreml_program.", providers = [CoremlProgramInfo]),
        "_builder": attr.label(cfg = "exec", default = Label("//rules:builder"), executable = True),
    },
)

def _coreml_report_impl(ctx):
    info = ctx.attr.program[CoremlProgramInfo]
    if ctx.attr.method not in info.references:
        fail("{}: {} has no method {}; its methods are {}".format(
            label_text(ctx.label),
            info.label,
            repr(ctx.attr.method),
            ", ".join(info.references.keys()),
        ))
    check_executions(ctx)
    page = ctx.actions.declare_file(ctx.label.name + ".html")
    inputs = [info.pte, info.partition_json]
    args = ctx.actions.args()
    args.add("report")
    args.add("--label", info.label)
    args.add("--program", info.pte)
    args.add("--method", ctx.attr.method)
    args.add("--partition", info.partition_json)
    args.add("--executions", ctx.attr.executions)
    args.add("--output", page)
    if ctx.attr.compare_with_pytorch:
        reference = info.references[ctx.attr.method]
        inputs.append(reference)
        args.add("--reference", reference, format = ctx.attr.method + "=%s")
    run_action(
        ctx,
        ctx.executable._runner,
        "CoremlReport",
        args,
        depset(inputs),
        [page],
        "Reporting on {}".format(info.label),
        is_measurement = True,
    )
    return [DefaultInfo(files = depset([page]), runfiles = ctx.runfiles(files = [page]))]

coreml_report = rule(
    implementation = _coreml_report_impl,
    doc = "The page of `coreml report` on a program, NAME.html. It holds times of the machine that built it, and is kept in no cache.",
    attrs = {
        "compare_with_pytorch": attr.bool(default = True, doc = "Whether each operation is compared with PyTorch's value."),
        "executions": attr.int(default = 20, doc = "How many are measured."),
        "method": attr.string(default = "forward", doc = "Of the program."),
        "program": attr.label(doc = "A coreml_program.", mandatory = True, providers = [CoremlProgramInfo]),
        # Built for the target, which is the machine that runs it: the engine is in it.
        "_runner": attr.label(cfg = "target", default = Label("//rules:runner"), executable = True),
    },
)

_EMBEDDED_ASSEMBLY = """// Written by coreml_cc_data.
#ifdef __APPLE__
#define SECTION .section __TEXT,__const
#define SYMBOL(name) _##name
#else
#define SECTION .section .rodata
#define SYMBOL(name) name
#endif
SECTION
.balign 64
.globl SYMBOL({symbol}_begin)
.globl SYMBOL({symbol}_end)
SYMBOL({symbol}_begin):
.incbin "{path}"
SYMBOL({symbol}_end):
.byte 0
#ifdef __ELF__
.section .note.GNU-stack,"",%progbits
#endif
"""

_EMBEDDED_HEADER = """// Written by coreml_cc_data.
#pragma once

#include <cstddef>

extern "C" const unsigned char {symbol}_begin[];
extern "C" const unsigned char {symbol}_end[];

// The program's bytes, of static storage, aligned to 64 bytes: for executorch::extension::BufferDataLoader.
inline const void* {symbol}_data() {{ return {symbol}_begin; }}
inline std::size_t {symbol}_size() {{ return static_cast<std::size_t>({symbol}_end - {symbol}_begin); }}
"""

_RUNFILES_HEADER = """// Written by coreml_cc_data.
#pragma once

// Where the program is in the runfiles of a binary, from their root.
inline const char* {symbol}_path() {{ return "{path}"; }}
"""

def _cc_data_source_impl(ctx):
    pte = ctx.attr.program[CoremlProgramInfo].pte
    symbol = ctx.attr.symbol
    if ctx.attr.embed:
        ctx.actions.write(ctx.outputs.assembly, _EMBEDDED_ASSEMBLY.format(path = pte.path, symbol = symbol))
        ctx.actions.write(ctx.outputs.header, _EMBEDDED_HEADER.format(symbol = symbol))
    else:
        path = pte.short_path
        path = path[3:] if path.startswith("../") else ctx.workspace_name + "/" + path
        ctx.actions.write(ctx.outputs.header, _RUNFILES_HEADER.format(path = path, symbol = symbol))
    return []

_cc_data_source = rule(
    implementation = _cc_data_source_impl,
    attrs = {
        "assembly": attr.output(),
        "embed": attr.bool(),
        "header": attr.output(),
        "program": attr.label(providers = [CoremlProgramInfo]),
        "symbol": attr.string(),
    },
)

def coreml_cc_data(name, program, embed = True, tags = [], testonly = None, visibility = None):
    """A cc_library with a program, for apps in C++: in the binary, or beside it in its runfiles.

    The header is NAME.h, in the package's folder. Embedded: NAME_data() and NAME_size(). In the runfiles: NAME_path(), from their root.

    Args:
      name: of the library, a C++ identifier.
      program: a coreml_program.
      embed: whether the bytes become part of the binary.
      tags: as of cc_library.
      testonly: as of cc_library.
      visibility: as of cc_library.
    """
    if not name.replace("_", "a").isalnum() or name[0].isdigit():
        fail("//{}:{}: the name of a coreml_cc_data is part of C++ names, so it must be an identifier".format(native.package_name(), name))
    _cc_data_source(
        name = name + ".source",
        assembly = name + ".S" if embed else None,
        embed = embed,
        header = name + ".h",
        program = program,
        symbol = name,
        tags = tags + ["manual"],
        testonly = testonly,
        visibility = ["//visibility:private"],
    )
    cc_library(
        name = name,
        srcs = [name + ".S"] if embed else [],
        hdrs = [name + ".h"],
        data = [] if embed else [program],
        tags = tags,
        testonly = testonly,
        # What the assembler reads.
        textual_hdrs = [program] if embed else [],
        visibility = visibility,
    )
