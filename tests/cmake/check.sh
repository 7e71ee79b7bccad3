#!/usr/bin/env bash
# Builds the CMake app against the shared library and runs a .pte with it.
#
#   tests/cmake/check.sh MODEL.pte      a .pte of sin for a [2, 3] input
#
# Needs cmake and a C++20 compiler. The ExecuTorch is the one that Bazel fetched.
set -euo pipefail
pte=$(realpath "${1:?usage: check.sh MODEL.pte}")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tools/bazel build -c opt //runtime:libcoremldelegate.so
library=$(tools/bazel info -c opt bazel-bin 2>/dev/null)/runtime/libcoremldelegate.so
wheel=$(tools/bazel info output_base 2>/dev/null)/external/coreml_delegate_pypi_executorch/site-packages/executorch

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake -S tests/cmake -B "$work/build" -DCMAKE_BUILD_TYPE=Release \
  -DCOREML_DELEGATE_LIBRARY="$library" -Dexecutorch_DIR="$wheel/lib/cmake/executorch"
cmake --build "$work/build"
LD_LIBRARY_PATH="$(dirname "$library")" "$work/build/run_pte" "$pte" 2,3 0 0.5 1 1.5 2 2.5
