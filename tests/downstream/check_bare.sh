#!/usr/bin/env bash
# A workspace that depends on the delegate, on a machine that lacks things: no Python that the locked wheels are for, and perhaps no SQLite, GNUstep or
# FlatBuffers. For Bazel 7 and newer:
#
#   1. with Bzlmod `bazel mod graph` works,
#   2. `bazel fetch --all` (with WORKSPACE `bazel sync`) fetches every repository of the delegate, and downloads no wheel,
#   3. with Bzlmod `bazel vendor` of one of them works,
#   4. a target of theirs is built, one of the delegate that needs what is missing is refused with a sentence, `//...` goes on.
#
#   DOWNSTREAM_BAZEL=bazel tests/downstream/check_bare.sh bzlmod    [BAZEL FLAGS...]
#   DOWNSTREAM_BAZEL=bazel tests/downstream/check_bare.sh workspace [BAZEL FLAGS...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
bazel=${DOWNSTREAM_BAZEL:-bazel}
mode=${1:-}
work=$(mktemp -d)
trap 'run library shutdown >/dev/null 2>&1 || true; run . shutdown >/dev/null 2>&1 || true; chmod -R u+w "$work" && rm -rf "$work"' EXIT
fail() { echo "check_bare: $*" >&2; exit 1; }

# `all`: the workspace with every repository of the delegate. With WORKSPACE library/ has no wheels.
case $mode in
  bzlmod) fetch_all=(fetch --all) all=library ;;
  workspace) fetch_all=(sync) all=. ;;
  *) fail "bzlmod or workspace, not '$mode'" ;;
esac
shift

# run FOLDER COMMAND...: in a workspace, in an output base that nothing was ever fetched into.
run() (
  cd "$1" && shift
  "$bazel" --output_base="$work/output_of_${PWD##*/}" "$@"
)

for version in 3.11 3.12 3.13; do
  ! command -v "python$version" >/dev/null || fail "this machine has a Python $version: nothing is missing"
done
missing=No_Python_of_3.11,_3.12,_3.13

# refused FOLDER TARGET SENTENCE: by its sentence, with underscores.
refused() {
  local said
  if said=$(run "$1" build "${flags[@]}" "$2" 2>&1); then fail "$2 was built without what it needs"; fi
  grep -q -- "$3" <<<"$said" || fail "$2 is not refused by its sentence:"$'\n'"$said"
}
flags=("$@")

# Before anything of the delegate is fetched.
run library build "${flags[@]}" //:theirs
# fetched FOLDER: its repositories of the delegate.
external() { echo "$work/output_of_$(cd "$1" && basename "$PWD")/external"; }
fetched() { (cd "$(external "$1")" && compgen -G '*coreml_delegate_*' | grep -v '^@' || true); }
[[ -z $(fetched library) ]] || fail "a target of theirs fetched $(fetched library)"

if [[ $mode == bzlmod ]]; then
  graph=$(run library mod graph 2>/dev/null) || fail "bazel mod graph: exit code $?"
  grep -q 'coreml_delegate' <<<"$graph" || fail "bazel mod graph does not have the delegate"
fi

# Other modules' repositories may be out of reach, as for a machine without network: what counts is that no error is about one of ours.
said=$(run "$all" "${fetch_all[@]}" --keep_going "${flags[@]}" 2>&1) || true
errors=$(grep '^ERROR' <<<"$said" | grep coreml_delegate || true)
[[ -z $errors ]] || fail "bazel ${fetch_all[*]}: $errors"
wheels=$(fetched "$all" | grep -c pypi_ || true)
((wheels > 100)) || fail "bazel ${fetch_all[*]} left out repositories of the delegate: $(fetched "$all")"$'\n'"$said"
# shellcheck disable=SC2086  # Names are words.
size=$(folders=$(fetched "$all") && cd "$(external "$all")" && du -smc $folders | tail -n 1 | cut -f1)
((size < 50)) || fail "bazel ${fetch_all[*]} took $size MB where nothing can be used"
echo "check_bare: $mode: $(fetched "$all" | wc -l) repositories of the delegate are fetched, $size MB"

if [[ $mode == bzlmod ]]; then
  # Repositories that look at the machine (`local`) are never vendored; wheels are.
  numpy=$(fetched library | grep 'pypi_numpy$')
  run library vendor --vendor_dir="$work/vendor" --repo="@@$numpy" "${flags[@]}" >"$work/said" 2>&1 || fail "bazel vendor: $(cat "$work/said")"
  grep -q "$missing" "$work/vendor/$numpy/BUILD.bazel" || fail "bazel vendor made no $numpy: $(ls "$work/vendor")"
fi

refused "$all" @coreml_delegate//third-party/pypi:numpy "$missing"
# What library/ does not bring itself.
count=0
for header in benchmark/benchmark.h flatbuffers/flatbuffers.h google/protobuf/message.h nlohmann/json.hpp; do
  [[ ! -e /usr/include/$header && ! -e /usr/local/include/$header ]] || continue
  folder=${header%%/*}
  case $folder in benchmark) folder=google_benchmark ;; google) folder=protobuf ;; nlohmann) folder=nlohmann_json ;; esac
  refused library "@coreml_delegate//third-party/$folder" "${folder}__header_${header//\//_}"
  count=$((count + 1))
done
# What can be built is built.
run library build "${flags[@]}" --keep_going //... >"$work/said" 2>&1 || fail "bazel build //...: $(cat "$work/said")"
echo "check_bare: $mode: fetching and builds work without a Python for the wheels and without $count libraries"
