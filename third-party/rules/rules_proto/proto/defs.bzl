"""The load path of rules_proto, answered with Bazel's native rules (only Bazel's own tools load it)."""

proto_lang_toolchain = native.proto_lang_toolchain
proto_library = native.proto_library
