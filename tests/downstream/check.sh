#!/usr/bin/env bash
# Builds this separate workspace against the checkout it lies in and uses what it built as an app would:
#
#   1. the py_binary lowers a model, and quantizes and lowers another, through the delegate's py_librarys,
#   2. the cc_binary, linked with nothing but its deps, runs both .pte files,
#   3. the binary still runs from a copy of its files outside bazel-bin,
#   4. library/: a repository that merely depends on the delegate fetches nothing of it; one that uses //blob, //inmemoryfs and //kvstore, and brings
#      its own SQLite, ExecuTorch, OpenVINO and PyTorch, gets those and fetches no wheel,
#   5. a model is a target, and each wrong use of the rules for models is refused with one sentence,
#   6. the external repositories are the same bytes in this workspace as in the delegate's own, so that a cache can serve both.
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

"$bin/export" "$work"
[[ -s $work/sin.pte && -s $work/quantized.pte ]] || fail "export wrote no .pte"

compare() {  # compare WHERE EXPECTED ACTUAL TOLERANCE: one number a line, equal to an absolute tolerance
  paste -d' ' <(echo "$2") <(echo "$3") |
    awk -v where="$1" -v tolerance="$4" -v lines="$(wc -l <<<"$2")" '
      NF != 2 { bad = 1 } { d = $1 - $2; if (d < 0) d = -d; if (!(d < tolerance)) bad = 1 }
      END { if (NR != lines || bad) { print "downstream: " where " gave other values" > "/dev/stderr"; exit 1 } }'
}

# sin(), in float16.
sines=$'0.000000\n0.479426\n0.841471\n0.997495\n0.909297\n0.598472'
actual=$("$bin/run_pte" "$work/sin.pte" 2,3 0 0.5 1 1.5 2 2.5)
compare "run_pte in bazel-bin" "$sines" "$actual" 1e-3
# relu((2, -1 - 1, (2 - 1 + 1 + 1) / 2 - 1)), to a step of the 8-bit values, which are up to 2.
actual=$("$bin/run_pte" "$work/quantized.pte" 1,4 2 -1 1 1)
compare "the quantized program" $'2\n0\n0.5' "$actual" 0.03

# A cc_binary's runfiles are itself and the libraries it needs, where it looks for them. A copy with links resolved has nothing of
# bazel-bin left to lean on.
cp -RL "$bin/run_pte.runfiles" "$work/app"
app=$work/app/downstream/run_pte
[[ -x $app ]] || app=$work/app/_main/run_pte  # Bzlmod's name of the main repository.
[[ -x $app ]] || fail "run_pte is not among its runfiles"
copied=$(cd "$work" && env -u LD_LIBRARY_PATH "$app" sin.pte 2,3 0 0.5 1 1.5 2 2.5)
compare "run_pte copied out of bazel-bin" "$sines" "$copied" 1e-3
if env -u LD_LIBRARY_PATH ldd "$app" | grep -E 'not found|/execroot/|/bazel-out/'; then
  fail "the copied binary still looks into Bazel's folders"
fi

# The rules for models. Each target of wrong/ has its sentence above it.
"$bazel" test "$@" //:sin_partition_test
[[ -s $bin/sin.pte ]] || fail "coreml_program made no sin.pte"
wrong=0
while IFS= read -r sentence && IFS= read -r _ && IFS= read -r name; do
  name=$(sed -nE 's/^ *name = "(.*)",$/\1/p' <<<"$name")
  if said=$("$bazel" build "$@" "//wrong:$name" 2>&1); then fail "//wrong:$name was built"; fi
  grep -qF -- "${sentence#\# }" <<<"$said" || fail "//wrong:$name does not say: ${sentence#\# }"$'\n'"$said"
  # Of what Python raises; for the others Bazel shows its own files.
  if [[ $name == raises ]] && grep -q Traceback <<<"$said"; then fail "//wrong:$name shows a stack of calls"$'\n'"$said"; fi
  wrong=$((wrong + 1))
done < <(grep -A2 -E '^# (ERROR: )?//wrong:' wrong/BUILD.bazel | grep -v '^--$')
((wrong == 8)) || fail "$wrong wrong uses were tried"

# library/: its own workspace.
(
  cd library
  bazel=../$bazel
  [[ ${DOWNSTREAM_BAZEL:-} != /* ]] || bazel=$DOWNSTREAM_BAZEL
  "$bazel" build "$@" //:theirs
  external=$("$bazel" info "$@" output_base 2>/dev/null)/external
  # What an earlier run of this check fetched is there too: the folder is emptied by hand only.
  if [[ ! -e $external/.checked ]]; then
    fetched=$(cd "$external" && compgen -G '*coreml_delegate_*' | grep -v '^@' || true)
    [[ -z $fetched ]] || fail "a target of theirs fetched $fetched"
  fi
  said=$("$bazel" run "$@" //:use_kvstore -- "$work")
  [[ $said == 7 ]] || fail "use_kvstore printed '$said'"
  "$bazel" build "$@" @coreml_delegate//blob @coreml_delegate//inmemoryfs //:use_theirs
  said=$("$bazel" run "$@" //:use_torch)
  [[ $said == "theirs 1" ]] || fail "use_torch printed '$said', not what their own distribution says"
  # Part of another build of ExecuTorch only: the sentence, with underscores, in the place of a mixture of two.
  if said=$("$bazel" build "$@" @coreml_delegate//third-party/executorch:kernels 2>&1); then fail "the wheel's kernels were built for their runtime"; fi
  grep -q 'so_name_its_kernels_too' <<<"$said" || fail "what lacks of their ExecuTorch is not said:"$'\n'"$said"
  # What all of the delegate would be built of.
  closure=$("$bazel" cquery "$@" 'deps(@coreml_delegate//runtime:coremldelegate)' 2>/dev/null)
  grep -q '//:their_executorch ' <<<"$closure" || fail "the delegate is not built with their ExecuTorch"
  grep -q '//:their_openvino ' <<<"$closure" || fail "the delegate is not built with their OpenVINO"
  touch "$external/.checked"
  fetched=$(cd "$external" && compgen -G '*coreml_delegate_pypi_*' | grep -v '^@' || true)
  [[ -z $fetched ]] || fail "//blob, //inmemoryfs, //kvstore and a delegate of other libraries fetched $fetched"
)

# Repositories by their bytes: links by where they lead, without the folder that holds them.
here=$("$bazel" info "$@" output_base 2>/dev/null)/external
there=$(cd ../.. && tools/bazel info output_base 2>/dev/null)/external
compared=0
for name in coreml_delegate_python coreml_delegate_pypi_numpy coreml_delegate_pypi_sympy coreml_delegate_pypi_torchao; do
  [[ -d $here/$name && -d $there/$name ]] || continue
  diff -rq --no-dereference "$here/$name" "$there/$name" || fail "$name differs between two checkouts"
  compared=$((compared + 1))
done
echo "downstream: $compared external repositories are the same bytes as in the delegate's own workspace"

echo "downstream: export, run and copied run agree with sin(), the quantized program with its float original"
