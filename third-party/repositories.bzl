"""Every external repository of this workspace, for WORKSPACE files: ours, and that of a repository that depends on it.

    load("@coreml_delegate//third-party:repositories.bzl", "coreml_delegate_repositories")
    coreml_delegate_repositories()
    load("@coreml_delegate_pypi//:requirements.bzl", "REQUIREMENTS")
    load("@coreml_delegate//third-party/pypi:repositories.bzl", "pypi_repositories")
    pypi_repositories(REQUIREMENTS)

MODULE.bazel reaches the same repositories through extensions.bzl.
"""

load("//third-party/gnustep:gnustep.bzl", "gnustep_repository")
load("//third-party/npm:repository.bzl", "npm_program")
load("//third-party/pypi:macos.bzl", "macos_wheel")
load("//third-party/pypi:repositories.bzl", "pypi_lock")
load("//tools/toolchains:clang.bzl", "clang_repository")
load(":python.bzl", "python_repository")
load(":system.bzl", "SYSTEM_LIBRARIES", "system_repositories")
load(":wheel_libraries.bzl", "wheel_libraries")

# The libraries that another workspace may bring by name.
LIBRARIES = SYSTEM_LIBRARIES + ["tbb"]

def coreml_delegate_repositories(libraries = {}, tools = {}, packages = {}, executorch = {}, openvino = None):
    """Declares all but the Python distributions, whose list is only known once the lock has been read.

    Args:
      libraries: name of LIBRARIES -> label of a library of yours that takes the place of the machine's, such as @sqlite3//:sqlite3 for
        "sqlite". "tbb" are the headers of the oneTBB that your `openvino` uses.
      tools: name -> label of its program, for protobuf (protoc) and flatbuffers (flatc).
      packages: name -> label of a Python distribution of yours that takes the place of the locked one, such as @pip//torch for "torch".
      executorch: "runtime", "kernels", "etdump" -> label, of a build of ExecuTorch that takes the place of the locked wheel's libraries.
      openvino: label of an OpenVINO that takes the place of the locked wheel's.
    """
    for name in libraries:
        if name not in LIBRARIES:
            fail("there is no library {}; known: {}".format(name, ", ".join(LIBRARIES)))
    for name in tools:
        if name not in libraries:
            fail("tools: {} is not among the libraries".format(name))
    clang_repository(name = "coreml_delegate_clang")
    python_repository(name = "coreml_delegate_python")
    gnustep_repository(name = "coreml_delegate_gnustep")
    system_repositories({
        name: struct(target = target, tool = tools.get(name))
        for name, target in libraries.items()
        if name != "tbb"
    })
    wheel_libraries(executorch = executorch, openvino = openvino, tbb = libraries.get("tbb"))

    # For a test of this repository itself.
    npm_program(
        name = "coreml_delegate_buildifier",
        package = "@bazel/buildifier@8.2.1",
        program = "buildifier",
        sha256 = "b96ea9b13003036c801f52bee6f9b0314738f8432e5cb9d814c89f59292604ee",
    )

    # Likewise.
    macos_wheel(
        name = "coreml_delegate_executorch_macos",
        distribution = "executorch",
        files = {"executorch/lib/libexecutorch.dylib": "libexecutorch"},
    )
    pypi_lock(packages)
