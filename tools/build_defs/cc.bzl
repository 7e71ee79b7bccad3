"""C++ rules of this workspace: Bazel's, with the compiler flags that its code is held to."""

load("@rules_cc//cc:defs.bzl", _cc_binary = "cc_binary", _cc_library = "cc_library", _cc_test = "cc_test")

def workspace_copts():
    """The one place where the language level and the warnings are set; for the macros beside this file.

    Returns:
      compiler flags.
    """
    copts = ["-std=c++20", "-Wall", "-Wextra"]
    if native.repository_name() != "@":
        # What another compiler warns about must not break the build of a repository that depends on this one.
        return copts

    # Clang, the compiler of this workspace: base/mutex.h has what the second goes by.
    return copts + ["-Wshadow", "-Wthread-safety", "-Werror"]

_GOOGLETEST_MAIN = Label("//third-party/googletest:main")

def cc_library(name, copts = [], **kwargs):
    """cc_library with this workspace's compiler flags."""
    _cc_library(name = name, copts = workspace_copts() + copts, **kwargs)

def cc_binary(name, copts = [], **kwargs):
    """cc_binary with this workspace's compiler flags."""
    _cc_binary(name = name, copts = workspace_copts() + copts, **kwargs)

def cc_test(name, copts = [], deps = [], main = True, **kwargs):
    """cc_test with this workspace's compiler flags and GoogleTest.

    Args:
      name: of the test.
      copts: further compiler flags.
      deps: further dependencies.
      main: False for a test that has its own main() and wants no GoogleTest.
      **kwargs: as of cc_test.
    """
    _cc_test(
        name = name,
        copts = workspace_copts() + copts,
        deps = deps + ([_GOOGLETEST_MAIN] if main else []),
        **kwargs
    )

def cc_fuzz_test(name, srcs, corpus, copts = [], deps = [], linkopts = [], tags = [], **kwargs):
    """A libFuzzer program (`extern "C" int LLVMFuzzerTestOneInput(const uint8_t*, size_t)`).

    As a test, NAME runs each file of the corpus once, with any compiler. To look for new inputs, the same code as NAME_fuzzer (folders are absolute):

        tools/bazel run --config=fuzz //PACKAGE:NAME_fuzzer -- -max_total_time=600 -artifact_prefix=FOLDER/ FOLDER

    Args:
      name: of the test.
      srcs: the source with the function, and what only it needs.
      corpus: files, not empty; found inputs that failed once belong there.
      copts: further compiler flags.
      deps: dependencies.
      linkopts: further link flags.
      tags: as of cc_test.
      **kwargs: as of cc_test.
    """
    if not corpus:
        fail("{}: a fuzz test needs a corpus, else it would run forever".format(name))
    native.filegroup(
        name = name + "_corpus",
        srcs = corpus,
        testonly = True,
    )
    _cc_library(
        name = name + "_target",
        srcs = srcs,
        copts = workspace_copts() + copts,
        testonly = True,
        # main() calls into it by name.
        alwayslink = True,
        deps = deps,
    )

    _cc_test(
        name = name,
        args = ["$(rootpaths :{}_corpus)".format(name)],
        data = [":{}_corpus".format(name)],
        linkopts = linkopts,
        tags = tags,
        deps = [
            ":{}_target".format(name),
            Label("//tools/build_defs:fuzz_replay_main"),
        ],
        **kwargs
    )

    # clang: libFuzzer's main function. Linked statically, so that the program can be copied away and run for long elsewhere.
    _cc_binary(
        name = name + "_fuzzer",
        testonly = True,
        linkopts = ["-fsanitize=fuzzer"] + linkopts,
        linkstatic = True,
        tags = ["manual"],
        deps = [":{}_target".format(name)],
    )
