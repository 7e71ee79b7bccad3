"""The load path of rules_cc, answered with Bazel's native rules."""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
objc_library = native.objc_library

def _nothing_impl(_ctx):
    return []

# Bazel 4's own tools instantiate these two; no target here depends on them.
compiler_flag = rule(implementation = _nothing_impl)
cc_flags_supplier = rule(implementation = _nothing_impl)
