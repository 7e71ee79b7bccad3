"""Finding the machine's Python. A file of its own: every fetched wheel depends on it, and would be fetched again when it changes."""

# What the locked wheels are built for, in the order in which they are looked for: the first is the one that everything is tested with.
PYTHON_VERSIONS = ["3.11", "3.12", "3.13"]

_PROBE = """
import os, sys
version = "%d.%d" % sys.version_info[:2]
base = os.path.join(sys.base_prefix, "bin", "python" + version)
print(version)
print(base if os.path.exists(base) else os.path.realpath(sys.executable))
"""

def find_python(repository_ctx):
    """Finds a Python that the locked wheels run on.

    Args:
      repository_ctx: the context of the repository rule that asks.

    Returns:
      A struct: `executable` (no shim or virtual environment: the installation's own), `version` (such as "3.11"), `missing` (None). If there
      is none, only `missing`: a sentence that says so.
    """
    names = ["python" + version for version in PYTHON_VERSIONS] + ["/usr/bin/python" + version for version in PYTHON_VERSIONS]
    names.insert(1, "python3")
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
        version, executable = result.stdout.strip().split("\n")
        if version in PYTHON_VERSIONS:
            return struct(executable = executable, version = version, missing = None)
        seen.append("{}: Python {}".format(path, version))
    return struct(missing = ("No Python of {}, which the locked wheels are built for. Install one with pip (Debian 12 and 13, " +
                             "Ubuntu 24.04: apt-get install python3 python3-pip; Fedora: dnf install python3.13), or name one " +
                             "in COREML_DELEGATE_PYTHON. Tried: {}").format(", ".join(PYTHON_VERSIONS), "; ".join(seen) or "nothing"))
