"""tools/bazel run //tools:coreml -- COMMAND ...: see executorch.backends.apple.coreml.sdk.command_line."""

import os
import signal
import sys
import warnings

if __name__ == "__main__":
    # Ended from outside, it still removes its temporary files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    warnings.simplefilter("ignore")
    try:
        os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", os.getcwd()))
        from executorch.backends.apple.coreml.sdk import command_line

        sys.exit(command_line.main())
    except KeyboardInterrupt:
        # Within the imports.
        sys.exit(128 + signal.SIGINT)
