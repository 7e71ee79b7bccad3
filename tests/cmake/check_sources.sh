#!/usr/bin/env bash
# Builds the CMake app of tests/cmake/sources, the delegate's sources included, and compares what a .pte computes with it.
#
#   tests/cmake/check_sources.sh [BUILD_FOLDER]
#
# Needs cmake, a C++20 compiler and the packages of tools/apt-packages.txt. ExecuTorch, OpenVINO and oneTBB's headers are those that Bazel fetched; WHEELS names
# another folder that has them. Takes some minutes.
set -euo pipefail
build=${1:-}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ -z $build ]]; then
  build=$(mktemp -d)
  trap 'rm -rf "$build"' EXIT
fi
wheels=${WHEELS:-$(tools/bazel info output_base 2>/dev/null)/external}/coreml_delegate_pypi
cmake -S tests/cmake/sources -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="${CXX:-clang++-16}" \
  -Dexecutorch_DIR="${wheels}_executorch/site-packages/executorch/lib/cmake/executorch" \
  -DOpenVINO_DIR="${wheels}_openvino/site-packages/openvino/cmake" \
  -DTBB_INCLUDE_DIR="${wheels}_tbb_devel/data/include"
cmake --build "$build" --parallel "${JOBS:-2}"
# The sine of one number.
found=$("$build/run_pte" tests/end_to_end/testdata/sin_float32.pte 1 0.5)
if [[ $found != 0.479426 ]]; then
  echo "sin(0.5) is not 0.479426 but $found" >&2
  exit 1
fi
echo "sin(0.5) = $found"
