"""Actions that execute a program: `verify` measures it against PyTorch, `report` writes the page of `coreml report`."""

from __future__ import annotations

import sys

from coreml_rules import worker

if __name__ == "__main__":
    worker.clean_environment()
    from coreml_rules.run_actions import run

    sys.exit(worker.main(run, ("executorch_coreml.sdk.verify", "executorch_coreml.sdk.report")))
