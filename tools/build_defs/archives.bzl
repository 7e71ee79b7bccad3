"""Linking as other builds do it: from archives, of which a linker takes the members that something refers to."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _as_archive(ctx, cc_toolchain, features, library, number):
    if not library.alwayslink:
        return library
    archives = {}
    for kind in ("static_library", "pic_static_library"):
        original = getattr(library, kind)
        if original:
            # Under a name that tells no linker to take it whole.
            archive = ctx.actions.declare_file("{}.archives/{}_{}.a".format(ctx.label.name, kind, number))
            ctx.actions.symlink(output = archive, target_file = original)
            archives[kind] = archive
    return cc_common.create_library_to_link(
        actions = ctx.actions,
        alwayslink = False,
        cc_toolchain = cc_toolchain,
        feature_configuration = features,
        **archives
    )

def _linked_as_archives_impl(ctx):
    cc_toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        cc_toolchain = cc_toolchain,
        ctx = ctx,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    merged = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps])
    inputs = []
    number = 0
    for given in merged.linking_context.linker_inputs.to_list():
        libraries = []
        for library in given.libraries:
            libraries.append(_as_archive(ctx, cc_toolchain, features, library, number))
            number += 1
        inputs.append(cc_common.create_linker_input(
            additional_inputs = depset(given.additional_inputs),
            libraries = depset(libraries, order = "topological"),
            owner = given.owner,
            user_link_flags = depset(given.user_link_flags),
        ))
    runfiles = ctx.runfiles()
    for dep in ctx.attr.deps:
        runfiles = runfiles.merge(dep[DefaultInfo].default_runfiles)
    return [
        CcInfo(
            compilation_context = merged.compilation_context,
            linking_context = cc_common.create_linking_context(linker_inputs = depset(inputs, order = "topological")),
        ),
        DefaultInfo(runfiles = runfiles),
    ]

linked_as_archives = rule(
    implementation = _linked_as_archives_impl,
    attrs = {
        "deps": attr.label_list(
            doc = "Libraries, some of which Bazel would link whole (alwayslink).",
            providers = [CcInfo],
        ),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    doc = "A library of others, with all that they depend on, none of which is linked whole: static initialisers that nothing refers to are lost.",
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)
