"""A Python interpreter with every library of this workspace on its path.

    tools/bazel run //tools:python                          a prompt
    tools/bazel run //tools:python -- script.py ARGUMENT    a script
    tools/bazel run //tools:python -- -m pytest FOLDER

It starts in the folder it was called from. Bazel has put the libraries on PYTHONPATH; processes started from here see them too.
"""

import os
import sys


def main() -> None:
    environ = dict(os.environ)
    here = os.path.dirname(os.path.realpath(__file__))
    # The first entry is this program's own folder; the rest is what the target depends on.
    paths = [p for p in sys.path[1:] if p and os.path.realpath(p) != here and not p.startswith(sys.base_prefix)]
    environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(os.path.abspath(p) for p in paths))
    os.chdir(environ.get("BUILD_WORKING_DIRECTORY", os.getcwd()))
    os.execve(sys.executable, [sys.executable, *sys.argv[1:]], environ)


if __name__ == "__main__":
    main()
