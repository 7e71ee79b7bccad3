"""How clang is called. Bazel adds its own default features (includes, defines, archives, link order) around these."""

load("@rules_cc//cc:action_names.bzl", "ACTION_NAMES")
load(
    "@rules_cc//cc:cc_toolchain_config_lib.bzl",
    "feature",
    "flag_group",
    "flag_set",
    "tool_path",
    "with_feature_set",
)
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/toolchains:cc_toolchain_config_info.bzl", "CcToolchainConfigInfo")

_COMPILE = [
    ACTION_NAMES.assemble,
    ACTION_NAMES.preprocess_assemble,
    ACTION_NAMES.linkstamp_compile,
    ACTION_NAMES.c_compile,
    ACTION_NAMES.cpp_compile,
    ACTION_NAMES.cpp_header_parsing,
    ACTION_NAMES.cpp_module_compile,
    ACTION_NAMES.cpp_module_codegen,
]

_LINK = [
    ACTION_NAMES.cpp_link_executable,
    ACTION_NAMES.cpp_link_dynamic_library,
    ACTION_NAMES.cpp_link_nodeps_dynamic_library,
]

def _flags(actions, flags, with_features = []):
    return flag_set(actions = actions, flag_groups = [flag_group(flags = flags)], with_features = with_features)

def _sanitizer(name, compile_flags, link_flags):
    """A feature that is switched on by --features=NAME (the configs of .bazelrc)."""
    return feature(name = name, flag_sets = [_flags(_COMPILE, compile_flags), _flags(_LINK, link_flags)])

# Stack traces that can be read, at a speed that can be waited for.
_READABLE = ["-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"]

def _impl(ctx):
    opt = [with_feature_set(features = ["opt"])]
    dbg = [with_feature_set(features = ["dbg"])]
    linker = ["--ld-path=" + ctx.attr.lld] if ctx.attr.lld else []
    features = [
        feature(name = "dbg"),
        feature(name = "fastbuild"),
        feature(name = "opt"),
        feature(name = "supports_pic", enabled = True),
        feature(name = "supports_dynamic_linker", enabled = True),
        feature(name = "supports_start_end_lib", enabled = bool(ctx.attr.lld)),
        feature(
            name = "default_compile",
            enabled = True,
            flag_sets = [
                _flags(_COMPILE, ["-fstack-protector", "-fno-omit-frame-pointer", "-fcolor-diagnostics"]),
                _flags(_COMPILE, ["-g"], dbg),
                _flags(_COMPILE, ["-O2", "-DNDEBUG", "-ffunction-sections", "-fdata-sections"], opt),
                # The same bytes from the same sources, wherever the checkout lies.
                _flags(_COMPILE, [
                    "-no-canonical-prefixes",
                    "-Wno-builtin-macro-redefined",
                    "-D__DATE__=\"redacted\"",
                    "-D__TIMESTAMP__=\"redacted\"",
                    "-D__TIME__=\"redacted\"",
                ]),
            ],
        ),
        feature(
            name = "default_link",
            enabled = True,
            flag_sets = [
                _flags(_LINK, linker + [
                    "-no-canonical-prefixes",
                    "-Wl,-z,relro,-z,now",
                    "-Wl,--build-id=md5",
                    "-lstdc++",
                    "-lm",
                ]),
                _flags(_LINK, ["-Wl,--gc-sections"], opt),
            ],
        ),
        _sanitizer("asan", _READABLE + ["-fsanitize=address"], ["-fsanitize=address"]),
        _sanitizer("tsan", _READABLE + ["-fsanitize=thread"], ["-fsanitize=thread"]),
        _sanitizer(
            "ubsan",
            _READABLE + ["-fsanitize=undefined", "-fno-sanitize-recover=undefined"],
            # The C++ half of the runtime (vptr checks) is only linked by the C++ driver.
            ["-fsanitize=undefined", "-fsanitize-link-c++-runtime"],
        ),
        # Coverage counters for libFuzzer in everything that is compiled; the fuzzer's main function is linked by cc_fuzz_test.
        feature(name = "fuzzer", flag_sets = [_flags(_COMPILE, _READABLE + ["-fsanitize=fuzzer-no-link"])]),
        # As Bazel would add it by itself, but in front of the last one.
        feature(
            name = "user_compile_flags",
            enabled = True,
            flag_sets = [flag_set(
                actions = _COMPILE,
                flag_groups = [flag_group(
                    expand_if_available = "user_compile_flags",
                    flags = ["%{user_compile_flags}"],
                    iterate_over = "user_compile_flags",
                )],
            )],
        ),
    ]

    # Behind a target's own -Wall -Wextra, which would switch them on again.
    if ctx.attr.warning_flags:
        features.append(feature(
            name = "warning_flags",
            enabled = True,
            flag_sets = [_flags(_COMPILE, ctx.attr.warning_flags)],
        ))
    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        abi_libc_version = "local",
        abi_version = "local",
        compiler = "clang",
        cxx_builtin_include_directories = ctx.attr.include_directories,
        features = features,
        host_system_name = "local",
        target_cpu = ctx.attr.cpu,
        target_libc = "local",
        target_system_name = "local",
        tool_paths = [
            tool_path(name = "gcc", path = ctx.attr.clang),
            tool_path(name = "cpp", path = ctx.attr.clang),
            tool_path(name = "ld", path = ctx.attr.clang),
            tool_path(name = "ar", path = ctx.attr.ar),
            tool_path(name = "nm", path = ctx.attr.nm),
            tool_path(name = "objcopy", path = ctx.attr.objcopy),
            tool_path(name = "objdump", path = ctx.attr.objdump),
            tool_path(name = "strip", path = ctx.attr.strip),
            tool_path(name = "gcov", path = ctx.attr.llvm_cov),
            tool_path(name = "gcov-tool", path = ctx.attr.llvm_cov),
            tool_path(name = "llvm-cov", path = ctx.attr.llvm_cov),
        ],
        toolchain_identifier = "coreml_delegate_clang_" + ctx.attr.version,
    )

clang_toolchain_config = rule(
    implementation = _impl,
    attrs = {
        "ar": attr.string(mandatory = True),
        "clang": attr.string(mandatory = True),
        "cpu": attr.string(mandatory = True),
        "include_directories": attr.string_list(mandatory = True),
        "lld": attr.string(doc = "The linker; the compiler's own choice if empty."),
        "llvm_cov": attr.string(mandatory = True),
        "nm": attr.string(mandatory = True),
        "objcopy": attr.string(mandatory = True),
        "objdump": attr.string(mandatory = True),
        "strip": attr.string(mandatory = True),
        "warning_flags": attr.string_list(doc = "Warnings of this compiler that the tree is not held to."),
        "version": attr.string(mandatory = True, doc = "Part of the toolchain's name: another compiler, another build."),
    },
    provides = [CcToolchainConfigInfo],
)
