"""Every external repository of this workspace, for WORKSPACE files: ours, and that of a repository that depends on it.

    load("@coreml_delegate//third-party:repositories.bzl", "coreml_delegate_repositories")
    coreml_delegate_repositories()
    load("@coreml_delegate_pypi//:requirements.bzl", "REQUIREMENTS")
    load("@coreml_delegate//third-party/pypi:repositories.bzl", "pypi_repositories")
    pypi_repositories(REQUIREMENTS)

MODULE.bazel reaches the same repositories through extensions.bzl.
"""

load("//third-party/gnustep:gnustep.bzl", "gnustep_repository")
load("//third-party/pypi:repositories.bzl", "pypi_lock")
load("//tools/toolchains:clang.bzl", "clang_repository")
load(":python.bzl", "python_repository")
load(":system.bzl", "system_repositories")

def local_repositories():
    """What is found on the machine: the compiler, Python, the system's libraries."""
    clang_repository(name = "coreml_delegate_clang")
    python_repository(name = "coreml_delegate_python")
    gnustep_repository(name = "coreml_delegate_gnustep")
    system_repositories()

def coreml_delegate_repositories():
    """Declares all but the Python distributions, whose list is only known once the lock has been read."""
    local_repositories()
    pypi_lock()
