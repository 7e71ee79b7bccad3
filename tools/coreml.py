"""tools/bazel run //tools:coreml -- COMMAND ...: see executorch.backends.apple.coreml.sdk.command_line."""

import os
import sys
import warnings

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", os.getcwd()))
    from executorch.backends.apple.coreml.sdk import command_line

    sys.exit(command_line.main())
