"""coremltools' own tests of MIL operations for ML Programs, which compare predictions with expected values, on the portable engine.

They come from the installed wheel, `coremltools.converters.mil.mil.ops.tests`, and make predictions on a Mac only;
enable_coremltools() makes them do so here. A class of theirs appears here as FOLDER_MODULE_CLASS. op_suite_exclusions.txt lists what
cannot pass, with the cause; conftest.py counts the predictions.
"""

import importlib
import inspect
import os
import pkgutil
import warnings

# Before anything of coremltools: the backends that its tests take.
os.environ["PYMIL_TEST_TARGETS"] = "mlprogram"
warnings.simplefilter("ignore")

from executorch.backends.apple.coreml.engine import coremltools_support  # noqa: E402

coremltools_support.enable_coremltools(threads=1)

import coremltools.converters.mil.mil.ops.tests as suite  # noqa: E402

for _info in pkgutil.walk_packages(suite.__path__, suite.__name__ + "."):
    _name = _info.name.removeprefix(suite.__name__ + ".")
    if not _name.rpartition(".")[2].startswith("test_"):
        continue
    _module = importlib.import_module(_info.name)
    _label = _name.replace(".test_", "_").replace(".", "_")
    for _member, _value in vars(_module).items():
        is_theirs = getattr(_value, "__module__", "") == _module.__name__
        if is_theirs and inspect.isclass(_value) and _member.startswith("Test"):
            globals()[f"Test_{_label}_{_member.removeprefix('Test')}"] = _value
        elif is_theirs and inspect.isfunction(_value) and _member.startswith("test"):
            globals()[f"test_{_label}_{_member.removeprefix('test_')}"] = _value
