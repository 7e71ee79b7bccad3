"""The load path of rules_cc, answered with Bazel's builtin."""

load(":native.bzl", "native_cc_info")

CcInfo = native_cc_info
