"""Bazel's builtin symbols under other names: a file cannot define a name in terms of the builtin of that name."""

native_cc_common = cc_common  # buildifier: disable=native-cc-common
native_cc_toolchain_config_info = CcToolchainConfigInfo  # buildifier: disable=native-cc-toolchain-config-info
native_cc_info = CcInfo  # buildifier: disable=native-cc-info
