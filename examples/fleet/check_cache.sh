#!/usr/bin/env bash
# What one checkout builds is a cache hit in another: builds targets of this workspace in two clean copies of the repository, in folders and with output bases and
# homes of their own, and looks at Bazel's log of what was executed. Then a source of some models changes, and the others are not lowered again; then one
# number among the weights of one model, and nothing is executed that is not of this model.
#
#   examples/fleet/check_cache.sh disk   [-- BAZEL FLAGS...]    --disk_cache
#   examples/fleet/check_cache.sh server [-- BAZEL FLAGS...]    --remote_cache, BuildGrid (PyPI: buildgrid) on the loopback
#   examples/fleet/check_cache.sh none   [-- BAZEL FLAGS...]    no cache
#
# Without a cache each copy executes every action itself, in a sandbox without network, host name or user name. Every action then has the same command,
# environment and inputs, and makes the same bytes: none needs the machine, the home or the output base that it was planned with.
#
# BGD: the program of BuildGrid (default: bgd). FLEET_TARGETS: what is built (default: //:fleet and all tests).
set -euo pipefail
kind=${1:?disk, server or none}
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
  none)
    cache=(--sandbox_default_allow_network=false --sandbox_fake_hostname --sandbox_fake_username)
    cache+=(--spawn_strategy=sandboxed --strategy=CoremlBuild=sandboxed --strategy=CoremlRun=sandboxed --strategy=CoremlReport=sandboxed)
    ;;
  *) fail "disk, server or none, not $kind" ;;
esac

for copy in first second; do
  mkdir -p "$work/$copy" "$work/$copy.output" "$work/home_of_$copy"
  (cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 tar -c --ignore-failed-read -f - 2>/dev/null) | tar -x -C "$work/$copy"
done

# What the two programs below read a log with. It has every input of every action: hundreds of megabytes.
cat >"$work/execution_log.py" <<'PY'
import json, re

SPACE = re.compile(r"\s*")


def entries(path):
    """The actions of a log that Bazel wrote: JSON documents one behind the other."""
    text, decoder, position = open(path, encoding="utf-8").read(), json.JSONDecoder(), 0
    while (position := SPACE.match(text, position).end()) < len(text):
        entry, position = decoder.raw_decode(text, position)
        yield entry
PY

# executed LOG: a line for each action that ran; then "N actions, M hits".
executed() {
  PYTHONPATH=$work python3 - "$1" <<'PY'
import sys

from execution_log import entries

actions = hits = 0
for entry in entries(sys.argv[1]):
    actions += 1
    if entry.get("remoteCacheHit") or "cache hit" in entry.get("runner", ""):
        hits += 1
    else:
        print(entry.get("mnemonic", ""), " ".join(entry.get("listedOutputs", [])))
print(f"{actions} actions, {hits} hits")
PY
}

# same LOG LOG FOLDER: fails unless the actions of both are the same and made the same, and none has FOLDER in its command or environment. What a test
# writes has times in it.
same() {
  PYTHONPATH=$work python3 - "$@" <<'PY'
import hashlib, json, sys

from execution_log import entries

PARTS = ("commandArgs", "environmentVariables", "inputs", "actualOutputs")


def actions(path):
    """The outputs of each action -> the digest of each part, and whether the folder is in its command or environment."""
    found = {}
    for entry in entries(path):
        if entry["mnemonic"] != "TestRunner":
            text = {part: json.dumps(entry.get(part)) for part in PARTS}
            digests = {part: hashlib.sha256(text[part].encode()).hexdigest() for part in PARTS}
            found[" ".join(entry["listedOutputs"])] = digests, any(sys.argv[3] in text[part] for part in PARTS[:2])
    return found


first, second = map(actions, sys.argv[1:3])
wrong = [f"only one copy has {name}" for name in first.keys() ^ second.keys()]
for name in first.keys() & second.keys():
    wrong += [f"{part} of {name} differ" for part in PARTS if first[name][0][part] != second[name][0][part]]
    if first[name][1] or second[name][1]:
        wrong.append(f"{name} names a folder of the copy")
if wrong or not first:
    sys.exit("\n".join(sorted(wrong)) or "nothing was executed")
print(f"{len(first)} actions have the same commands, environments, inputs and outputs")
PY
}

build() { # build COPY LOG FLAGS...: exit code 4 of `test` is "there are no tests"
  local copy=$1 log=$2 code=0
  shift 2
  bazel_in "$copy" test "${cache[@]}" --execution_log_json_file="$work/$log" "$@" "${targets[@]}" || code=$?
  ((code == 0 || code == 4)) || fail "the $copy checkout does not build"
}

# ran LOG: what was executed, and in the last line how much.
ran() { executed "$work/$1" >"$work/$1.txt"; tail -n 1 "$work/$1.txt"; }

build first first.log "$@"
echo "check_cache: the first checkout: $(ran first.log)"
bazel_in first shutdown
build second second.log "$@"
echo "check_cache: the second checkout: $(ran second.log)"
if [[ $kind == none ]]; then
  said=$(same "$work/first.log" "$work/second.log" "$work") || fail "an action needs the copy that it was planned in"
  echo "check_cache: $said"
  exit
fi
if (($(wc -l <"$work/second.log.txt") != 1)); then
  cat "$work/second.log.txt" >&2
  fail "the second checkout executed what the first had made"
fi
program=examples/fleet/bazel-bin/voice_activity.pte
[[ -s $work/first/$program ]] || fail "FLEET_TARGETS has to have //:voice_activity"
cmp "$work/first/$program" "$work/second/$program" || fail "the two programs differ"

# A source of some of the models. Its new bytes make the same programs, so that what is made of these is found again.
echo "# changed" >>"$work/second/examples/fleet/models/sound.py"
build second source.log "$@"
echo "check_cache: after a change of models/sound.py: $(ran source.log)"
if grep 'CoremlBuild.*pte' "$work/source.log.txt" | grep -E 'faces_|spelling|phoneme|sentence_encoder'; then
  fail "a model that does not use the changed file was lowered again"
fi
grep -q 'CoremlBuild.*voice_activity.pte' "$work/source.log.txt" || fail "a model that uses the changed file was not lowered again"

# One weight: the last number in Silero VAD's file, in a copy of its distribution that takes the place of the fetched one.
silero=coreml_delegate_pypi_silero_vad
external=$(bazel_in second info output_base 2>/dev/null)/external
cp -RL "$external/$silero" "$work/$silero"
chmod -R u+w "$work/$silero"
python3 - "$work/$silero/site-packages/silero_vad/data/silero_vad_16k.safetensors" <<'PY'
import pathlib, struct, sys

file = pathlib.Path(sys.argv[1])
data = file.read_bytes()
(before,) = struct.unpack("<f", data[-4:])
file.write_bytes(data[:-4] + struct.pack("<f", before + 1))
PY
build second weight.log "$@" "--override_repository=$silero=$work/$silero"
echo "check_cache: after a change of one weight of voice_activity: $(ran weight.log)"
if cmp -s "$work/first/$program" "$work/second/$program"; then fail "the weight is not in the program"; fi
lowered=$(grep -c 'CoremlBuild.*\.pte' "$work/weight.log.txt" || true)
((lowered == 1)) || fail "$lowered models were lowered for a weight of one"
# The table of the fleet is made of all programs; what else was executed has this model's name.
if grep -vE '^CoremlFleet |/voice_activity[_./]|^[0-9]+ actions, ' "$work/weight.log.txt"; then fail "a weight of voice_activity changed, and this was executed too"; fi
