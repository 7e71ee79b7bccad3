"""The C++ compiler of this workspace: a clang found on the machine.

One compiler for the whole tree, clang, because Objective-C++ off Apple platforms and libFuzzer need it. Away from Linux the
repository is empty and Bazel's own toolchain is used.
"""

# In order of preference: what the tree is tested with first.
_CANDIDATES = ["clang-16", "clang-19"] + ["clang-%d" % v for v in [24, 23, 22, 21, 20, 18, 17, 15]] + ["clang"]

_BUILD = """load("@coreml_delegate//tools/toolchains:cc_toolchain_config.bzl", "clang_toolchain_config")
load("@rules_cc//cc:defs.bzl", "cc_toolchain")

package(default_visibility = ["//visibility:public"])

filegroup(name = "empty")

# The linker for Apple's systems.
exports_files(["ld64.lld"])

clang_toolchain_config(
    name = "config",
    ar = "{ar}",
    clang = "{clang}",
    cpu = "{cpu}",
    include_directories = {include_directories},
    lld = "{lld}",
    llvm_cov = "{cov}",
    nm = "{nm}",
    objcopy = "{objcopy}",
    objdump = "{objdump}",
    strip = "{strip}",
    version = "{version}",
    warning_flags = {warning_flags},
)

cc_toolchain(
    name = "clang",
    all_files = ":empty",
    ar_files = ":empty",
    as_files = ":empty",
    compiler_files = ":empty",
    dwp_files = ":empty",
    linker_files = ":empty",
    objcopy_files = ":empty",
    strip_files = ":empty",
    supports_param_files = 1,
    toolchain_config = ":config",
)

toolchain(
    name = "toolchain",
    exec_compatible_with = ["@platforms//os:linux"],
    target_compatible_with = ["@platforms//os:linux", "@platforms//cpu:{platform_cpu}"],
    toolchain = ":clang",
    toolchain_type = "@bazel_tools//tools/cpp:toolchain_type",
)
"""

def _include_directories(repository_ctx, clang):
    """The folders that the compiler searches by itself: Bazel accepts headers from there without a declaration."""
    directories = []
    for options in [["-x", "c"], ["-x", "c++"]]:
        # The toolchain's flag changes how the compiler names its own folders.
        for prefix in [[], ["-no-canonical-prefixes"]]:
            result = repository_ctx.execute([clang, "-E"] + prefix + options + ["-", "-v"])
            if result.return_code:
                fail("{} -E -v: {}".format(clang, result.stderr))
            text = result.stderr.partition("#include <...> search starts here:")[2].partition("End of search list.")[0]
            found = [line.strip() for line in text.strip().split("\n")]

            # Files that the compiler reads by name, such as the sanitizers' ignore lists.
            found.append(repository_ctx.execute([clang] + prefix + ["-print-resource-dir"]).stdout.strip())
            for name in found:
                path = repository_ctx.path(name)
                for spelling in [str(path), str(path.realpath)]:
                    if spelling not in directories:
                        directories.append(spelling)
    return directories

# What newer compilers added to -Wextra and the tree is not written for: leaving out the last fields of a designated initialiser is
# how defaults are meant.
_UNWANTED_WARNINGS = ["missing-designated-field-initializers"]

def _warning_flags(repository_ctx, clang):
    """The flags against those of _UNWANTED_WARNINGS that this compiler knows."""
    known = []
    for name in _UNWANTED_WARNINGS:
        probe = [clang, "-Werror=unknown-warning-option", "-W" + name, "-fsyntax-only", "-x", "c++", "/dev/null"]
        if repository_ctx.execute(probe).return_code == 0:
            known.append("-Wno-" + name)
    return known

def _clang_repository_impl(repository_ctx):
    repository_ctx.file("WORKSPACE", "", executable = False)
    if "linux" not in repository_ctx.os.name.lower():
        repository_ctx.file("BUILD.bazel", "# Bazel's own toolchain is used on this system.\n", executable = False)
        return
    environ = repository_ctx.os.environ
    candidates = ([environ["COREML_DELEGATE_CLANG"]] if "COREML_DELEGATE_CLANG" in environ else []) + _CANDIDATES
    clang = None
    for name in candidates:
        clang = repository_ctx.path(name) if name.startswith("/") else repository_ctx.which(name)
        if clang:
            break
    if not clang:
        fail("\nNo clang found. Debian: apt-get install clang-16 lld-16 libclang-rt-16-dev; or name one in COREML_DELEGATE_CLANG.\n")
    machine = repository_ctx.execute(["uname", "-m"]).stdout.strip()
    version = repository_ctx.execute([clang, "-dumpversion"]).stdout.strip()

    # The tools that belong to this clang lie beside its real program.
    home = clang.realpath.dirname

    tools = {}
    for tool in ["ar", "nm", "objcopy", "objdump", "strip", "cov"]:
        beside = home.get_child("llvm-" + tool)
        found = beside if beside.exists else repository_ctx.which(tool)
        tools[tool] = str(found) if found else "/usr/bin/false"
    lld = home.get_child("ld.lld") if home.get_child("ld.lld").exists else repository_ctx.which("ld.lld")

    # The same program as lld; its name tells it whose command line it gets.
    ld64 = home.get_child("ld64.lld")
    if ld64.exists:
        repository_ctx.symlink(ld64, "ld64.lld")
    else:
        repository_ctx.file("ld64.lld", "#!/bin/sh\necho 'no ld64.lld beside {}. Debian: apt-get install lld-16' >&2\nexit 1\n".format(clang))

    repository_ctx.file("BUILD.bazel", _BUILD.format(
        clang = clang,
        cpu = "k8" if machine == "x86_64" else machine,
        include_directories = repr(_include_directories(repository_ctx, clang)),
        lld = lld or "",
        platform_cpu = "arm64" if machine == "aarch64" else machine,
        version = version,
        warning_flags = repr(_warning_flags(repository_ctx, clang)),
        **tools
    ), executable = False)

clang_repository = repository_rule(
    implementation = _clang_repository_impl,
    doc = "Detects clang and its include folders; target `toolchain` is to be registered.",
    environ = ["COREML_DELEGATE_CLANG", "PATH"],
    local = True,
)
