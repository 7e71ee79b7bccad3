"""clang-tidy over the C++ sources of this workspace, one action for each, so that what has not changed is not looked at again."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

TidyReportsInfo = provider(
    doc = "What clang-tidy says of the sources of this workspace below a target.",
    fields = {"reports": "depset of structs (source: File, report: File)"},
)

# The one that belongs to the compiler: clang-16's is clang-tidy-16.
_COMMAND = """compiler=$1 report=$2
shift 2
tidy=$(dirname "$compiler")/$(basename "$compiler" | sed 's/^clang/clang-tidy/')
if [ ! -x "$tidy" ]; then
  echo "There is no $tidy: apt-get install $(basename "$tidy")" >&2
  exit 1
fi
# What it finds is on standard output, and makes it end with 1. What it says of itself is on standard error.
"$tidy" --quiet "$@" > "$report" 2> "$report.err" || [ -s "$report" ] || {
  cat "$report.err" >&2
  exit 1
}
rm "$report.err"
"""

def _tidy(ctx, source, flags, headers):
    report = ctx.actions.declare_file("{}.tidy/{}.txt".format(ctx.label.name, source.basename))
    ctx.actions.run_shell(
        command = _COMMAND,
        arguments = [
            find_cpp_toolchain(ctx).compiler_executable,
            report.path,
            "--config-file=" + ctx.file._config.path,
            source.path,
            "--",
        ] + flags,
        inputs = depset([source, ctx.file._config], transitive = [headers]),
        mnemonic = "ClangTidy",
        outputs = [report],
        progress_message = "Reading {} with clang-tidy".format(source.short_path),
    )
    return struct(source = source, report = report)

def _flags(context, copts):
    flags = ["-I" + path for path in context.includes.to_list()]
    for path in context.quote_includes.to_list():
        flags += ["-iquote", path]
    system = context.system_includes.to_list()
    if hasattr(context, "external_includes"):
        system += context.external_includes.to_list()
    for path in system:
        flags += ["-isystem", path]
    flags += ["-D" + define for define in context.defines.to_list() + context.local_defines.to_list()]
    return flags + copts

def _tidy_aspect_impl(target, ctx):
    below = getattr(ctx.rule.attr, "deps", []) + ([ctx.rule.attr.actual] if hasattr(ctx.rule.attr, "actual") else [])
    transitive = [dep[TidyReportsInfo].reports for dep in below if TidyReportsInfo in dep]
    reports = []
    if CcInfo in target and ctx.label.workspace_name == "" and ctx.rule.kind in ("cc_library", "cc_binary"):
        context = target[CcInfo].compilation_context
        flags = _flags(context, ctx.rule.attr.copts)
        for source in ctx.rule.files.srcs:
            if source.is_source and source.extension == "cc":
                reports.append(_tidy(ctx, source, flags, context.headers))
    return [TidyReportsInfo(reports = depset(reports, transitive = transitive))]

_tidy_aspect = aspect(
    implementation = _tidy_aspect_impl,
    attr_aspects = ["actual", "deps"],
    attrs = {
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
        "_config": attr.label(allow_single_file = True, default = "//:.clang-tidy"),
    },
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def _clang_tidy_reports_impl(ctx):
    reports = depset(transitive = [dep[TidyReportsInfo].reports for dep in ctx.attr.deps]).to_list()
    table = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.write(table, "".join(sorted(["{} {}\n".format(r.source.short_path, r.report.short_path) for r in reports])))
    files = [table] + [r.report for r in reports]
    return [DefaultInfo(files = depset(files), runfiles = ctx.runfiles(files = files))]

clang_tidy_reports = rule(
    implementation = _clang_tidy_reports_impl,
    attrs = {"deps": attr.label_list(aspects = [_tidy_aspect], mandatory = True)},
    doc = "What clang-tidy says of every C++ source of this workspace below `deps`. NAME.txt has a line `SOURCE REPORT` for each.",
)
