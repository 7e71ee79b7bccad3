"""A repository that is nothing but other names for targets of other repositories."""

load(":missing.bzl", "MISSING", "constraint_name")

_BUILD = """package(default_visibility = ["//visibility:public"])

exports_files(["{missing}"])
"""

_ALIAS = """
alias(
    name = "{name}",
    actual = "{actual}",
)
"""

# As missing.bzl does: the sentence is the name that Bazel prints.
_REFUSAL = """
constraint_setting(name = "setting_of_{name}")

constraint_value(
    name = {constraint},
    constraint_setting = ":setting_of_{name}",
)

cc_library(
    name = "{name}",
    target_compatible_with = [":" + {constraint}],
)
"""

def _alias_repository_impl(repository_ctx):
    attr = repository_ctx.attr
    build = "load(\"@rules_cc//cc:defs.bzl\", \"cc_library\")\n\n" if attr.refusals else ""
    build += _BUILD.format(missing = MISSING)
    for name, actual in attr.aliases.items():
        build += _ALIAS.format(actual = actual, name = name)
    for name, sentence in attr.refusals.items():
        build += _REFUSAL.format(constraint = repr(constraint_name(sentence)), name = name)
    repository_ctx.file(MISSING, "", executable = False)
    repository_ctx.file("BUILD.bazel", build, executable = False)
    repository_ctx.file("WORKSPACE", "", executable = False)

alias_repository = repository_rule(
    implementation = _alias_repository_impl,
    doc = "Targets of other repositories. None of those is fetched before a target here is built that leads to it.",
    attrs = {
        "aliases": attr.string_dict(mandatory = True, doc = "Name of a target here -> label."),
        "refusals": attr.string_dict(doc = "Name of a target that there is none for -> the sentence for whoever builds it."),
    },
)
