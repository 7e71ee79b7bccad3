"""The Python interpreter of this workspace: found on the machine, cut off from the machine's own packages."""

load(":find_python.bzl", "find_python")
load(":missing.bzl", "MISSING", "write_missing_repository")

_BUILD = """load("@rules_python//python:defs.bzl", "py_runtime", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

exports_files(["missing.txt"])

py_runtime(
    name = "runtime",
    # A file of this repository and not a path: what is built holds no folder of the checkout that built it.
    files = ["pyvenv.cfg"] + glob(["lib/**"]),
    interpreter = "bin/python3",
    python_version = "PY3",
    # Starts the launcher script, which runs the interpreter above; Bazel 4 would ask for `python`.
    stub_shebang = "#!/usr/bin/env python3",
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
"""

def _python_repository_impl(repository_ctx):
    python = find_python(repository_ctx)
    if python.missing:
        write_missing_repository(repository_ctx, python.missing, toolchain = True)
        return
    repository_ctx.file(MISSING, "", executable = False)

    # A virtual environment with nothing in it: what is importable is what a target declares (Bazel sets PYTHONPATH), also in
    # processes that a test starts with sys.executable.
    repository_ctx.symlink(python.executable, "bin/python3")
    repository_ctx.file("lib/python{}/site-packages/.keep".format(python.version), "", executable = False)
    repository_ctx.file(
        "pyvenv.cfg",
        "home = {}\ninclude-system-site-packages = false\n".format(python.executable.rpartition("/")[0]),
        executable = False,
    )
    repository_ctx.file("BUILD.bazel", _BUILD, executable = False)
    repository_ctx.file("WORKSPACE", "", executable = False)

python_repository = repository_rule(
    implementation = _python_repository_impl,
    doc = "Target `toolchain` (to register), the machine's Python.",
    environ = ["COREML_DELEGATE_PYTHON", "PATH"],
    local = True,
)
