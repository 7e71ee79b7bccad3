"""The headers that libraries offer, as files."""

load("@rules_cc//cc/common:cc_info.bzl", "CcInfo")

def _cc_headers_impl(ctx):
    headers = []
    for dep in ctx.attr.deps:
        context = dep[CcInfo].compilation_context
        headers += [header for header in context.direct_public_headers if header.is_source]
    return [DefaultInfo(files = depset(headers))]

cc_headers = rule(
    implementation = _cc_headers_impl,
    attrs = {"deps": attr.label_list(mandatory = True, providers = [CcInfo])},
    doc = "The `hdrs` of the libraries themselves, without those of what they depend on and without generated ones.",
)
