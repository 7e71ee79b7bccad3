"""The Python interpreter of this workspace: found on the machine, cut off from the machine's own packages."""

# What the locked wheels are built for.
PYTHON_VERSION = "3.11"

_PROBE = """
import os, sys, sysconfig
version = "%d.%d" % sys.version_info[:2]
base = os.path.join(sys.base_prefix, "bin", "python" + version)
print(version)
print(base if os.path.exists(base) else os.path.realpath(sys.executable))
print(sysconfig.get_path("include"))
"""

def find_python(repository_ctx):
    """Finds a Python that the locked wheels run on.

    Args:
      repository_ctx: the context of the repository rule that asks.

    Returns:
      A struct: `executable` (no shim or virtual environment: the installation's own), `include` (folder of Python.h).
    """
    names = ["python" + PYTHON_VERSION, "python3", "/usr/bin/python" + PYTHON_VERSION]
    if "COREML_DELEGATE_PYTHON" in repository_ctx.os.environ:
        names.insert(0, repository_ctx.os.environ["COREML_DELEGATE_PYTHON"])
    seen = []
    for name in names:
        path = name if name.startswith("/") else repository_ctx.which(name)
        if not path:
            continue
        result = repository_ctx.execute([path, "-c", _PROBE])
        if result.return_code:
            seen.append("{}: {}".format(path, result.stderr.strip()))
            continue
        version, executable, include = result.stdout.strip().split("\n")
        if version == PYTHON_VERSION:
            return struct(executable = executable, include = include)
        seen.append("{}: Python {}".format(path, version))
    fail(("\nNo Python {} found, which the locked wheels need. Install it (Debian 12: apt-get install python3 python3-pip " +
          "python3-dev), or name one in COREML_DELEGATE_PYTHON.\nTried: {}\n").format(PYTHON_VERSION, ", ".join(seen) or "nothing"))

_BUILD = """load("@rules_cc//cc:defs.bzl", "cc_library")
load("@rules_python//python:defs.bzl", "py_runtime", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

py_runtime(
    name = "runtime",
    interpreter_path = "{interpreter}",
    python_version = "PY3",
)

py_runtime_pair(
    name = "runtime_pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtime_pair",
    toolchain_type = "@rules_python//python:toolchain_type",
)

# Python.h, for extension modules. They link to no libpython: the interpreter that loads them has the symbols.
cc_library(
    name = "headers",
    hdrs = glob(["include/**/*.h"], allow_empty = True),
    includes = ["include"],
)
"""

def _python_repository_impl(repository_ctx):
    python = find_python(repository_ctx)

    # A virtual environment with nothing in it: what is importable is what a target declares (Bazel sets PYTHONPATH), also in
    # processes that a test starts with sys.executable.
    repository_ctx.symlink(python.executable, "bin/python3")
    repository_ctx.file("lib/python{}/site-packages/.keep".format(PYTHON_VERSION), "", executable = False)
    repository_ctx.file(
        "pyvenv.cfg",
        "home = {}\ninclude-system-site-packages = false\n".format(python.executable.rpartition("/")[0]),
        executable = False,
    )
    if repository_ctx.path(python.include + "/Python.h").exists:
        repository_ctx.symlink(python.include, "include")
    repository_ctx.file(
        "BUILD.bazel",
        _BUILD.format(interpreter = repository_ctx.path("bin/python3")),
        executable = False,
    )
    repository_ctx.file("WORKSPACE", "", executable = False)

python_repository = repository_rule(
    implementation = _python_repository_impl,
    doc = "Targets `toolchain` (to register) and `headers` for the machine's Python.",
    environ = ["COREML_DELEGATE_PYTHON", "PATH"],
    local = True,
)
