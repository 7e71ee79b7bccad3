"""The sources below targets, for builds that are not Bazel's."""

load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")
load(":objc.bzl", "GNUSTEP_COPTS")

SourcesInfo = provider(
    doc = "What is compiled below a target, of this workspace.",
    fields = {"libraries": "depset of structs (name, sources: paths, options, definitions)"},
)

# Of every target (workspace_copts): the CMakeLists.txt says these by itself.
_EVERYWHERE = ["-std=c++20", "-Wall", "-Wextra", "-Wshadow", "-Wthread-safety", "-Werror"]

def _sources_aspect_impl(target, ctx):
    transitive = [dep[SourcesInfo].libraries for dep in getattr(ctx.rule.attr, "deps", []) if SourcesInfo in dep]
    libraries = []
    if CcInfo in target and ctx.label.workspace_name == "" and ctx.rule.kind == "cc_library":
        compiled = [file for file in ctx.rule.files.srcs if file.extension == "cc"]

        # A library of Objective-C++ includes its .mm files from generated .cc files.
        objective_cxx = [file for file in ctx.rule.files.textual_hdrs if file.extension == "mm"]
        if objective_cxx:
            compiled = objective_cxx
        if compiled:
            libraries.append(struct(
                name = ctx.label.name,
                definitions = tuple(getattr(ctx.rule.attr, "local_defines", [])),
                options = tuple([flag for flag in ctx.rule.attr.copts if flag not in _EVERYWHERE + GNUSTEP_COPTS]),
                sources = tuple([file.short_path for file in compiled]),
            ))
    return [SourcesInfo(libraries = depset(libraries, transitive = transitive))]

_sources_aspect = aspect(implementation = _sources_aspect_impl, attr_aspects = ["deps"])

def _sources_below_impl(ctx):
    groups = {}
    for group, targets in [("common", ctx.attr.common), ("apple", ctx.attr.apple), ("portable", ctx.attr.portable)]:
        groups[group] = [
            {"definitions": list(each.definitions), "name": each.name, "options": list(each.options), "sources": list(each.sources)}
            for each in depset(transitive = [target[SourcesInfo].libraries for target in targets]).to_list()
        ]
    table = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(table, json.encode(groups) + "\n")
    return [DefaultInfo(files = depset([table]))]

sources_below = rule(
    implementation = _sources_below_impl,
    attrs = {
        group: attr.label_list(aspects = [_sources_aspect], mandatory = True, providers = [CcInfo])
        for group in ["apple", "common", "portable"]
    },
    doc = "NAME.json: what is compiled below the targets of three groups, as JSON.",
)
