"""Sources that the compiler must refuse: the controls of what is checked at compile time."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")
load(":cc.bzl", "workspace_copts")

def _cc_refused_impl(ctx):
    context = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps]).compilation_context
    said = []
    for source in ctx.files.srcs:
        output = ctx.actions.declare_file("{}.{}.txt".format(ctx.label.name, source.basename))
        flags = ctx.attr.copts + ["-fsyntax-only"]
        for path in context.quote_includes.to_list():
            flags += ["-iquote", path]
        ctx.actions.run_shell(
            command = """said=$1
shift
if "$@" 2> "$said"; then
  echo "this was to be refused, and compiles" >&2
  exit 1
fi""",
            arguments = [output.path, find_cpp_toolchain(ctx).compiler_executable] + flags + [source.path],
            inputs = depset([source], transitive = [context.headers, find_cpp_toolchain(ctx).all_files]),
            mnemonic = "CcRefused",
            outputs = [output],
        )
        said.append(output)
    return [DefaultInfo(files = depset(said), runfiles = ctx.runfiles(files = said))]

_cc_refused = rule(
    implementation = _cc_refused_impl,
    attrs = {
        "copts": attr.string_list(),
        "deps": attr.label_list(providers = [CcInfo]),
        "srcs": attr.label_list(allow_files = [".cc"], mandatory = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def cc_refused(name, srcs, deps = []):
    """Sources each of which the compiler must refuse with this workspace's flags. NAME.SOURCE.txt has what it says.

    Args:
      name: of the target.
      srcs: the sources, each refused by itself.
      deps: what they include.
    """
    _cc_refused(
        name = name,
        srcs = srcs,
        copts = workspace_copts(),
        testonly = True,
        deps = deps,
    )
