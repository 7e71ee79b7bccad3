"""The executorch wheel's own test_coreml_recipes.py, against this workspace's recipes.

Away from macOS that file compares no results. Here its comparisons are switched on: the portable engine executes the programs.
"""

import inspect
from pathlib import Path

import executorch.backends.apple.coreml.runtime  # noqa: F401  (registers the delegate)
import pytest
import torch
from executorch.backends.apple.coreml.test import test_coreml_utils

test_coreml_utils.IS_VALID_TEST_RUNTIME = True

from executorch.backends.apple.coreml.test import test_coreml_recipes as stock  # noqa: E402
from executorch.backends.apple.coreml.test.test_coreml_recipes import TestCoreMLRecipes  # noqa: E402
from executorch.export import ExportSession  # noqa: E402

__all__ = ["TestCoreMLRecipes"]

# The suite calls ExecuTorch's recipes, which say that they are experimental.
pytestmark = pytest.mark.filterwarnings("ignore::executorch.exir._warnings.ExperimentalWarning")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The suite draws its weights from torch's generator and holds int4's signal-to-noise ratio to a bound that not all draws meet."""
    torch.manual_seed(0)


@pytest.fixture(scope="module", autouse=True)
def predictions(request):
    """Counts the predictions of the suite, and fails when there were none though a test that makes one was selected."""
    executed = []
    original = ExportSession.run_method

    def run_method(self, *args, **kwargs):
        executed.append(args)
        return original(self, *args, **kwargs)

    ExportSession.run_method = run_method
    yield
    ExportSession.run_method = original
    print(f"\n{len(executed)} predictions executed by the delegate")
    if any(item.name == "test_fp32_recipe" for item in request.session.items):
        assert executed


def test_the_suite_is_the_wheels_and_the_recipes_are_ours():
    ours = Path(inspect.getfile(stock.CoreMLRecipeProvider)).resolve()
    assert not any(part == "site-packages" for part in ours.parts)
    assert "site-packages" in Path(inspect.getfile(TestCoreMLRecipes)).parts
    assert stock.IS_VALID_TEST_RUNTIME
