"""tools/bazel run //tools:coreml -- COMMAND ...: see executorch_coreml.sdk.command_line."""

import os

if __name__ == "__main__":
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", os.getcwd()))
    from executorch_coreml import _programs

    _programs.coreml()
