#!/usr/bin/env bash
# Builds this separate workspace against the checkout it lies in and uses what it built as an app would:
#
#   1. the py_binary lowers a model, and quantizes and lowers another, through the delegate's py_librarys,
#   2. the cc_binary, linked with nothing but its deps, runs both .pte files,
#   3. the binary still runs from a copy of its files outside bazel-bin,
#   4. library/: a repository that merely depends on the delegate fetches nothing of it and runs nothing of it; one that uses //blob, //inmemoryfs and
#      //kvstore, and brings its own SQLite, ExecuTorch, OpenVINO and PyTorch, gets those and fetches no wheel,
#   5. a model is a target, and each wrong use of the rules for models is refused with one sentence,
#   6. the external repositories are the same bytes in this workspace as in the delegate's own, so that a cache can serve both.
#
#   tests/downstream/check.sh [BAZEL FLAGS...]
#
# CC: the compiler of this workspace (default: gcc), another than that of the delegate's own.
#
# Of the locked wheels all but those of step 6 are taken from the delegate's own workspace where that has them: they are the same bytes, and to unpack
# them takes minutes. What both workspaces here compile is compiled once, by way of a --disk_cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
bazel=${DOWNSTREAM_BAZEL:-../../tools/bazel}
export CC=${CC:-gcc}

work=$(mktemp -d)
trap 'in_library shutdown >/dev/null 2>&1 || true; chmod -R u+w "$work" && rm -rf "$work"' EXIT
fail() { echo "downstream: $*" >&2; exit 1; }
step() { echo "downstream: after $SECONDS s: $*"; }

# in_library COMMAND...: in the workspace library/, in an output base that nothing was ever fetched into.
in_library() (
  cd library
  program=$bazel
  [[ $bazel != */* || $bazel == /* ]] || program=../$bazel
  "$program" --output_base="$work/library" "$@"
)

delegate=$(cd ../.. && tools/bazel info output_base 2>/dev/null)/external
compared=(coreml_delegate_python coreml_delegate_pypi_numpy coreml_delegate_pypi_sympy coreml_delegate_pypi_torchao)
shared=()
for folder in "$delegate"/coreml_delegate_pypi_*; do
  name=${folder##*/}
  # A BUILD file is the last that is written of a repository. Another Bazel has other names for repositories.
  [[ -z ${DOWNSTREAM_BAZEL:-} && -f $folder/BUILD.bazel && " ${compared[*]} " != *" $name "* ]] || continue
  shared+=("--override_repository=$name=$folder")
done
set -- --disk_cache="$work/cache" "$@"

"$bazel" test ${shared[@]+"${shared[@]}"} "$@" //:run_pte //:export //:sin //:sin_partition_test //:sin_test
bin=$("$bazel" info ${shared[@]+"${shared[@]}"} "$@" bazel-bin 2>/dev/null)
compilers=$(readelf -p .comment "$bin/run_pte")
[[ $CC != *gcc* ]] || ! grep -q clang <<<"$compilers" || fail "run_pte was not compiled with $CC alone: $compilers"
step "run_pte, export and sin are built with $("$CC" --version | head -n 1), and sin is tested"

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

# The rules for models. Each target of wrong/ has its sentence in the line above it, and all are asked for at once.
[[ -s $bin/sin.pte ]] || fail "coreml_program made no sin.pte"
sentences=() targets=()
for file in wrong/BUILD.bazel wrong/*/BUILD.bazel; do
  while IFS=$'\t' read -r name sentence; do
    sentences+=("$sentence")
    targets+=("//$(dirname "$file"):$name")
  done < <(awk '/^coreml_/ && above ~ /^# / { sentence = substr(above, 3) }
    sentence != "" && /^ *name = / { split($0, part, "\""); print part[2] "\t" sentence; sentence = "" } { above = $0 }' "$file")
done
((${#targets[@]} == 23)) || fail "${#targets[@]} wrong uses are in wrong/"
if said=$("$bazel" test ${shared[@]+"${shared[@]}"} "$@" --keep_going --test_output=errors "${targets[@]}" 2>&1); then fail "a wrong use was built"; fi
for sentence in "${sentences[@]}"; do
  grep -qF -- "$sentence" <<<"$said" || fail "it is not said: $sentence"$'\n'"$said"
done
for target in "${targets[@]}"; do
  # A test that was run is built, and has failed.
  right="^Target $target up-to-date"
  [[ $target != *_test ]] || right="^$target .*PASSED"
  if grep -qE "$right" <<<"$said"; then fail "$target is right"; fi
done
# What a model's function raises is a sentence; for the others Bazel shows its own files.
if grep -q 'File ".*\.py"' <<<"$said"; then fail "a stack of calls is shown"$'\n'"$said"; fi
step "${#targets[@]} wrong uses are refused"

# library/: its own workspace. A target of theirs fetches nothing of the delegate, and none of its actions is the delegate's or reads of it.
in_library build "$@" //:theirs
external=$work/library/external
fetched() { (cd "$external" && compgen -G "$1" | grep -v '^@' || true); }
[[ -z $(fetched '*coreml_delegate_*') ]] || fail "a target of theirs fetched $(fetched '*coreml_delegate_*')"
actions=$(in_library aquery "$@" 'deps(//:theirs)' 2>/dev/null)
grep -qE '^ *Target: (@@?)?//:theirs$' <<<"$actions" || fail "aquery does not know //:theirs"$'\n'"$actions"
if grep coreml_delegate <<<"$actions"; then fail "an action of //:theirs has something of the delegate's"; fi

in_library build "$@" //:use_kvstore //:use_theirs //:use_torch @coreml_delegate//blob @coreml_delegate//inmemoryfs
bin=$(in_library info "$@" bazel-bin 2>/dev/null)
said=$("$bin/use_kvstore" "$work")
[[ $said == 7 ]] || fail "use_kvstore printed '$said'"
said=$("$bin/use_torch")
[[ $said == "theirs 1" ]] || fail "use_torch printed '$said', not what their own distribution says"
# Part of another build of ExecuTorch only: the sentence, with underscores, in the place of a mixture of two.
if said=$(in_library build "$@" @coreml_delegate//third-party/executorch:kernels 2>&1); then fail "the wheel's kernels were built for their runtime"; fi
grep -q 'so_name_its_kernels_too' <<<"$said" || fail "what lacks of their ExecuTorch is not said:"$'\n'"$said"
# What all of the delegate would be built of.
closure=$(in_library cquery "$@" 'deps(@coreml_delegate//runtime:coremldelegate)' 2>/dev/null)
grep -q '//:their_executorch ' <<<"$closure" || fail "the delegate is not built with their ExecuTorch"
grep -q '//:their_openvino ' <<<"$closure" || fail "the delegate is not built with their OpenVINO"
[[ -z $(fetched '*coreml_delegate_pypi_*') ]] || fail "//blob, //inmemoryfs, //kvstore and a delegate of other libraries fetched $(fetched '*coreml_delegate_pypi_*')"
# For one build of several: a label flag pins the ExecuTorch. The program is compiled with that one alone.
in_library build "$@" --@coreml_delegate//third-party/executorch:runtime=//:pinned_executorch //:use_pinned
if in_library build "$@" //:use_pinned 2>/dev/null; then fail "//:use_pinned is built without the ExecuTorch that it is for"; fi
in_library shutdown
step "a workspace that brings its own libraries has fetched nothing, then no wheel"

# Repositories by their bytes: links by where they lead, without the folder that holds them.
here=$("$bazel" info output_base 2>/dev/null)/external
count=0
for name in "${compared[@]}"; do
  [[ -d $here/$name && -d $delegate/$name ]] || continue
  diff -rq --no-dereference "$here/$name/" "$delegate/$name/" || fail "$name differs between two checkouts"
  count=$((count + 1))
done
step "$count external repositories are the same bytes as in the delegate's own workspace"

echo "downstream: export, run and copied run agree with sin(), the quantized program with its float original"
