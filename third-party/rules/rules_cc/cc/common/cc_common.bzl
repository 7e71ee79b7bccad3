"""The load path of rules_cc, answered with Bazel's builtin."""

load(":native.bzl", "native_cc_common")

cc_common = native_cc_common
