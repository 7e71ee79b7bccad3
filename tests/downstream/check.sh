#!/usr/bin/env bash
# Builds this separate workspace against the checkout it lies in and uses what it built as an app would:
#
#   1. the py_binary lowers a model through the delegate's py_librarys,
#   2. the cc_binary, linked with nothing but its deps, runs the .pte,
#   3. the binary still runs from a copy of its files outside bazel-bin.
#
#   tests/downstream/check.sh [BAZEL FLAGS...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
bazel=${DOWNSTREAM_BAZEL:-../../tools/bazel}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "downstream: $*" >&2; exit 1; }

"$bazel" build "$@" //:run_pte //:export
bin=$("$bazel" info "$@" bazel-bin 2>/dev/null)

"$bin/export" "$work/sin.pte"
[[ -s $work/sin.pte ]] || fail "export wrote no .pte"

expected=$'0.000000\n0.479426\n0.841471\n0.997495\n0.909297\n0.598472'
compare() {  # compare WHERE ACTUAL: equal to what sin() gives, to 1e-3 absolute (the program is float16)
  paste -d' ' <(echo "$expected") <(echo "$2") |
    awk -v where="$1" 'NF != 2 { bad = 1 } { d = $1 - $2; if (d < 0) d = -d; if (!(d < 1e-3)) bad = 1 }
      END { if (NR != 6 || bad) { print "downstream: " where " gave other values" > "/dev/stderr"; exit 1 } }'
}

actual=$("$bin/run_pte" "$work/sin.pte" 2,3 0 0.5 1 1.5 2 2.5)
compare "run_pte in bazel-bin" "$actual"

# A cc_binary's runfiles are itself and the libraries it needs, where it looks for them. A copy with links resolved has nothing of
# bazel-bin left to lean on.
cp -RL "$bin/run_pte.runfiles" "$work/app"
app=$work/app/downstream/run_pte
[[ -x $app ]] || app=$work/app/_main/run_pte  # Bzlmod's name of the main repository.
[[ -x $app ]] || fail "run_pte is not among its runfiles"
copied=$(cd "$work" && env -u LD_LIBRARY_PATH "$app" sin.pte 2,3 0 0.5 1 1.5 2 2.5)
compare "run_pte copied out of bazel-bin" "$copied"
if env -u LD_LIBRARY_PATH ldd "$app" | grep -E 'not found|/execroot/|/bazel-out/'; then
  fail "the copied binary still looks into Bazel's folders"
fi

echo "downstream: export, run and copied run agree with sin()"
