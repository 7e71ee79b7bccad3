#!/usr/bin/env bash
# A workspace that depends on the delegate, on a machine that lacks things: no Python that the locked wheels are for, and perhaps no SQLite, GNUstep or
# FlatBuffers. For a Bazel with Bzlmod (7 or newer):
#
#   1. `bazel mod graph` works,
#   2. `bazel fetch --all` fetches every repository of the delegate, and downloads no wheel,
#   3. `bazel vendor` of one of them works,
#   4. a target of theirs is built, one of the delegate that needs what is missing is refused with a sentence, `//...` goes on.
#
#   DOWNSTREAM_BAZEL=bazel tests/downstream/check_bare.sh [BAZEL FLAGS...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/library"
bazel=${DOWNSTREAM_BAZEL:-bazel}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "check_bare: $*" >&2; exit 1; }

for version in 3.11 3.12 3.13; do
  ! command -v "python$version" >/dev/null || fail "this machine has a Python $version: nothing is missing"
done
missing=No_Python_of_3.11,_3.12,_3.13

graph=$("$bazel" mod graph 2>/dev/null) || fail "bazel mod graph: exit code $?"
grep -q 'coreml_delegate' <<<"$graph" || fail "bazel mod graph does not have the delegate"

# Other modules' repositories may be out of reach, as for a machine without network: what counts is that no error is about one of ours.
said=$("$bazel" fetch --all --keep_going "$@" 2>&1) || true
errors=$(grep '^ERROR' <<<"$said" | grep coreml_delegate || true)
[[ -z $errors ]] || fail "bazel fetch --all: $errors"
external=$("$bazel" info "$@" output_base 2>/dev/null)/external
fetched=$(cd "$external" && compgen -G '*coreml_delegate_*' | grep -v '^@')
wheels=$(grep -c pypi_ <<<"$fetched")
((wheels > 100)) || fail "bazel fetch --all left out repositories of the delegate: $fetched"
size=$(cd "$external" && du -smc $fetched | tail -n 1 | cut -f1)
((size < 50)) || fail "bazel fetch --all took $size MB where nothing can be used"
echo "check_bare: $(wc -l <<<"$fetched") repositories of the delegate are fetched, $size MB"

# Repositories that look at the machine (`local`) are never vendored; wheels are.
numpy=$(grep 'pypi_numpy$' <<<"$fetched")
"$bazel" vendor --vendor_dir="$work/vendor" --repo="@@$numpy" "$@" >"$work/said" 2>&1 || fail "bazel vendor: $(cat "$work/said")"
grep -q "$missing" "$work/vendor/$numpy/BUILD.bazel" || fail "bazel vendor made no $numpy: $(ls "$work/vendor")"

"$bazel" build "$@" //:theirs
if said=$("$bazel" build "$@" @coreml_delegate//third-party/pypi:numpy 2>&1); then fail "a wheel for another Python was built"; fi
grep -q "$missing" <<<"$said" || fail "a wheel for another Python is not refused by its sentence:"$'\n'"$said"
echo "check_bare: mod graph, fetch --all, vendor and builds work without a Python for the wheels"
