"""C++ libraries that come out of Python wheels, or that another workspace brings in their place.

What is ours names `coreml_delegate_executorch`, `coreml_delegate_openvino` and `coreml_delegate_tbb`, and no wheel.
"""

load(":aliases.bzl", "alias_repository")

EXECUTORCH_TARGETS = ["etdump", "kernels", "runtime"]

# Written into repositories of the extension that has the wheels too.
_WHEEL = "@coreml_delegate_pypi_{}//:{}"

def wheel_libraries(executorch = {}, openvino = None, tbb = None):
    """Declares the three repositories.

    Args:
      executorch: name of EXECUTORCH_TARGETS -> canonical label, of another build of ExecuTorch; empty for the wheel's. What it leaves out is
        refused where it is needed: parts of two builds are not mixed in one program.
      openvino: canonical label of a cc_library with OpenVINO's headers, library and CPU plugin; None for the wheel's.
      tbb: canonical label of a cc_library with the headers of the oneTBB that openvino uses; None for those that belong to the wheel's.
    """
    for name in executorch:
        if name not in EXECUTORCH_TARGETS:
            fail("executorch: there is no {}; known: {}".format(name, ", ".join(EXECUTORCH_TARGETS)))
    if executorch and "runtime" not in executorch:
        fail("executorch: {} without the runtime that it was built with".format(", ".join(executorch.keys())))
    alias_repository(
        name = "coreml_delegate_executorch",
        aliases = executorch or {
            "etdump": _WHEEL.format("executorch", "etdump"),
            # With what keeps them in a program.
            "kernels": "@coreml_delegate//third-party/executorch:kernels_of_the_wheel",
            "runtime": _WHEEL.format("executorch", "runtime"),
        },
        refusals = {
            name: "executorch: the runtime is another build than the locked one, so name its {} too".format(name)
            for name in (EXECUTORCH_TARGETS if executorch else [])
            if name not in executorch
        },
    )
    alias_repository(
        name = "coreml_delegate_openvino",
        aliases = {"openvino": openvino or _WHEEL.format("openvino", "openvino")},
    )
    alias_repository(
        name = "coreml_delegate_tbb",
        aliases = {"headers": tbb or _WHEEL.format("tbb_devel", "headers")},
    )
