"""Actions that need the user's model: `lower` writes the .pte and the partition report, `reference` the exported programs."""

from __future__ import annotations

import sys

from coreml_rules import worker

# What lowering a model imports, found by comparing sys.modules before and after.
PRELOADED = ("coreml_rules.build_actions",)

if __name__ == "__main__":
    worker.clean_environment()
    from coreml_rules.build_actions import run

    sys.exit(worker.main(run, PRELOADED))
