"""Objective-C++ rules of this workspace: one source, two builds.

On Apple platforms a library is an objc_library with the system's frameworks. Everywhere else it is compiled by clang against GNUstep's
Foundation and GCC's Objective-C runtime. There, cc_library ignores .mm files, so that a source of one line includes each.

What holds for both builds: manual retain and release; instance variables in the @interface; a C++ `catch` in a .mm catches nothing
under GNUstep (the process ends), so code that may throw C++ exceptions stays in .cc files behind a function that does not.
"""

load("@rules_cc//cc:defs.bzl", _cc_library = "cc_library", _cc_test = "cc_test", _objc_library = "objc_library")
load(":apple.bzl", "select_apple")
load(":cc.bzl", "workspace_copts")

_GOOGLETEST_MAIN = Label("//third-party/googletest:main")
_FOUNDATION = Label("//third-party/gnustep:foundation")
_LEAKS = Label("//third-party/gnustep:leaks.supp")

# For programs that link GNUstep and are not made by objcxx_test: `data = GNUSTEP_TEST_DATA, env = GNUSTEP_TEST_ENV`.
GNUSTEP_TEST_DATA = [_LEAKS]
GNUSTEP_TEST_ENV = {"LSAN_OPTIONS": "suppressions=third-party/gnustep/leaks.supp"}

# How Debian's GNUstep was compiled, with the language that the .cc files in front of the .mm files are in.
GNUSTEP_COPTS = [
    "-xobjective-c++",
    "-fobjc-runtime=gcc",
    "-fblocks",
    "-fexceptions",
    "-fobjc-exceptions",
    "-fconstant-string-class=NSConstantString",
    "-D_NATIVE_OBJC_EXCEPTIONS",
    "-DGNUSTEP",
    "-DGNUSTEP_BASE_LIBRARY=1",
]

def _split(srcs):
    mm = [s for s in srcs if s.endswith(".mm")]
    headers = [s for s in srcs if s.endswith(".h")]
    if len(mm) + len(headers) != len(srcs):
        fail("objcxx rules take .mm and .h files; other sources belong in a cc_library: {}".format(srcs))
    return mm, headers

def _including_sources(name, mm):
    """A target per .mm: a .cc file that includes it."""
    sources = []
    for src in mm:
        target = "{}_{}".format(name, src[:-len(".mm")].replace("/", "_"))
        native.genrule(
            name = target,
            outs = [target + ".cc"],
            cmd = "echo '#include \"{}/{}\"' > $@".format(native.package_name(), src),
            tags = ["manual"],
            visibility = ["//visibility:private"],
        )
        sources.append(":" + target)
    return sources

def objcxx_library(
        name,
        srcs = [],
        hdrs = [],
        deps = [],
        gnustep_deps = [],
        sdk_frameworks = [],
        copts = [],
        includes = [],
        testonly = False,
        tags = [],
        visibility = None):
    """A library of Objective-C++ that uses Foundation.

    It is linked whole, as Apple's linker does with -ObjC: classes and categories are found by name when the program runs, and one that
    the linker dropped is missed only then.

    Args:
      name: of the library: an alias of NAME_apple or NAME_gnustep.
      srcs: .mm files and private .h files.
      hdrs: public headers.
      deps: dependencies on all platforms.
      gnustep_deps: further ones off Apple platforms, in place of `sdk_frameworks`.
      sdk_frameworks: Apple's frameworks beside Foundation.
      copts: further compiler flags.
      includes: as of cc_library.
      testonly: as of cc_library.
      tags: of the alias and of both libraries.
      visibility: of the alias.
    """
    mm, private = _split(srcs)
    _objc_library(
        name = name + "_apple",
        hdrs = hdrs,
        alwayslink = True,
        copts = workspace_copts() + copts,
        includes = includes,
        # Compiled without automatic reference counting.
        non_arc_srcs = mm,
        sdk_frameworks = ["Foundation"] + sdk_frameworks,
        srcs = private,
        # Not for //... where there is no Apple toolchain.
        tags = tags + ["manual"],
        testonly = testonly,
        visibility = ["//visibility:private"],
        deps = deps,
    )
    _cc_library(
        name = name + "_gnustep",
        hdrs = hdrs,
        alwayslink = True,
        copts = workspace_copts() + GNUSTEP_COPTS + copts,
        includes = includes,
        srcs = _including_sources(name, mm) + private,
        tags = tags + ["manual"],
        testonly = testonly,
        textual_hdrs = mm,
        visibility = ["//visibility:private"],
        deps = deps + gnustep_deps + [_FOUNDATION],
    )
    native.alias(
        name = name,
        actual = select_apple(":{}_apple".format(name), ":{}_gnustep".format(name)),
        tags = tags,
        testonly = testonly,
        visibility = visibility,
    )

def objcxx_test(
        name,
        srcs,
        deps = [],
        gnustep_deps = [],
        sdk_frameworks = [],
        copts = [],
        data = [],
        env = {},
        tags = [],
        **kwargs):
    """A GoogleTest test of Objective-C++ sources.

    Args:
      name: of the test.
      srcs: .mm files and private .h files.
      deps: dependencies on all platforms.
      gnustep_deps: further ones off Apple platforms.
      sdk_frameworks: Apple's frameworks beside Foundation.
      copts: further compiler flags.
      data: as of cc_test.
      env: as of cc_test.
      tags: as of cc_test.
      **kwargs: as of cc_test (size, args, ...).
    """
    objcxx_library(
        name = name + "_code",
        srcs = srcs,
        copts = copts,
        gnustep_deps = gnustep_deps,
        sdk_frameworks = sdk_frameworks,
        testonly = True,
        deps = deps + [_GOOGLETEST_MAIN],
    )
    all_env = dict(GNUSTEP_TEST_ENV)
    all_env.update(env)
    _cc_test(
        name = name,
        data = data + GNUSTEP_TEST_DATA,
        env = all_env,
        tags = tags,
        deps = [":{}_code".format(name)],
        **kwargs
    )
