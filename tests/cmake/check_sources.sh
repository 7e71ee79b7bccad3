#!/usr/bin/env bash
# Builds the CMake app of tests/cmake/sources, the delegate's sources included, and runs a .pte with it.
#
#   tests/cmake/check_sources.sh MODEL.pte [BUILD_FOLDER]      a .pte of sin for a [2, 3] input
#
# Needs cmake, a C++20 compiler and the packages of tools/apt-packages.txt. ExecuTorch, OpenVINO and oneTBB's headers are those that Bazel fetched; WHEELS names
# another folder that has them. Takes some minutes.
set -euo pipefail
pte=$(realpath "${1:?usage: check_sources.sh MODEL.pte [BUILD_FOLDER]}")
build=${2:-}
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
"$build/run_pte" "$pte" 2,3 0 0.5 1 1.5 2 2.5
