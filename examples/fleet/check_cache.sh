#!/usr/bin/env bash
# What one checkout builds is a cache hit in another: builds targets of this workspace in two clean copies of the repository, in folders and with output bases and
# homes of their own, and looks at Bazel's log of what was executed. Then a source of some models changes, and the others are not lowered again.
#
#   examples/fleet/check_cache.sh disk   [-- BAZEL FLAGS...]    --disk_cache
#   examples/fleet/check_cache.sh server [-- BAZEL FLAGS...]    --remote_cache, BuildGrid (PyPI: buildgrid) on the loopback
#
# BGD: the program of BuildGrid (default: bgd). FLEET_TARGETS: what is built (default: //:fleet and all tests).
set -euo pipefail
kind=${1:?disk or server}
shift
[[ ${1:-} != -- ]] || shift
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
read -r -a targets <<<"${FLEET_TARGETS:-//...}"
work=$(mktemp -d)
server=""
fail() { echo "check_cache: $*" >&2; exit 1; }

cleanup() {
  for copy in first second; do
    if [[ -d $work/$copy/examples/fleet ]]; then (cd "$work/$copy/examples/fleet" && bazel_in "$copy" shutdown >/dev/null 2>&1) || true; fi
  done
  [[ -z $server ]] || kill "$server" 2>/dev/null || true
  chmod -R u+w "$work" && rm -rf "$work"
}
trap cleanup EXIT

# bazel_in COPY COMMAND...: in the copy's workspace, as another user on another machine would have it.
bazel_in() {
  local copy=$1
  shift
  (cd "$work/$copy/examples/fleet" &&
    HOME=$work/home_of_$copy "$work/$copy/tools/bazel" --output_base="$work/$copy.output/of_the_$copy" "$@")
}

case $kind in
  disk) cache=(--disk_cache="$work/cache") ;;
  server)
    port=${PORT:-50551}
    cat >"$work/server.yml" <<YML
server:
  - !channel
    address: 127.0.0.1:$port
    insecure-mode: true
instances:
  - name: ''
    storages:
      - !disk-storage &cas
        path: $work/cas
    caches:
      - !lru-action-cache &actions
        storage: *cas
        max-cached-refs: 10000
        cache-failed-actions: false
        allow-updates: true
    services:
      - !cas
        storage: *cas
      - !bytestream
        storage: *cas
      - !action-cache
        cache: *actions
YML
    "${BGD:-bgd}" server start "$work/server.yml" >"$work/server.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
      ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
      kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; fail "the server did not start"; }
      sleep 0.3
    done
    cache=(--remote_cache="grpc://127.0.0.1:$port" --remote_timeout=600)
    ;;
  *) fail "disk or server, not $kind" ;;
esac

for copy in first second; do
  mkdir -p "$work/$copy" "$work/$copy.output" "$work/home_of_$copy"
  (cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 tar -c --ignore-failed-read -f - 2>/dev/null) | tar -x -C "$work/$copy"
done

# executed LOG: a line for each action that ran; then "N actions, M hits".
executed() {
  python3 - "$1" <<'PY'
import json, sys

text, decoder, position = open(sys.argv[1], encoding="utf-8").read(), json.JSONDecoder(), 0
actions = hits = 0
while text[position:].strip():
    while text[position].isspace():
        position += 1
    entry, position = decoder.raw_decode(text, position)
    actions += 1
    if entry.get("remoteCacheHit") or "cache hit" in entry.get("runner", ""):
        hits += 1
    else:
        print(entry.get("mnemonic", ""), " ".join(entry.get("listedOutputs", [])))
print(f"{actions} actions, {hits} hits")
PY
}

build() { # build COPY LOG FLAGS...: exit code 4 of `test` is "there are no tests"
  local copy=$1 log=$2 code=0
  shift 2
  bazel_in "$copy" test "${cache[@]}" --execution_log_json_file="$work/$log" "$@" "${targets[@]}" || code=$?
  ((code == 0 || code == 4)) || fail "the $copy checkout does not build"
}

build first first.log "$@"
executed "$work/first.log" >"$work/first.txt"
echo "check_cache: the first checkout: $(tail -n 1 "$work/first.txt")"
bazel_in first shutdown
build second second.log "$@"
executed "$work/second.log" >"$work/second.txt"
echo "check_cache: the second checkout: $(tail -n 1 "$work/second.txt")"
if (($(wc -l <"$work/second.txt") != 1)); then
  cat "$work/second.txt" >&2
  fail "the second checkout executed what the first had made"
fi
[[ -s $work/first/examples/fleet/bazel-bin/voice_activity.pte ]] || fail "FLEET_TARGETS has to have //:voice_activity"
cmp "$work/first/examples/fleet/bazel-bin/voice_activity.pte" "$work/second/examples/fleet/bazel-bin/voice_activity.pte" ||
  fail "the two programs differ"

# A source of some of the models. Its new bytes make the same programs, so that what is made of these is found again.
echo "# changed" >>"$work/second/examples/fleet/models/sound.py"
build second changed.log "$@"
executed "$work/changed.log" >"$work/changed.txt"
echo "check_cache: after a change of models/sound.py: $(tail -n 1 "$work/changed.txt")"
if grep 'CoremlBuild.*pte' "$work/changed.txt" | grep -E 'faces_|spelling|phoneme|sentence_encoder'; then
  fail "a model that does not use the changed file was lowered again"
fi
grep -q 'CoremlBuild.*voice_activity.pte' "$work/changed.txt" || fail "a model that uses the changed file was not lowered again"
