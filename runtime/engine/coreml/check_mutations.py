"""Are the tests of the Core ML engine worth anything? Breaks the engine in one place at a time and sees whether a test fails.

    tools/bazel build //runtime/engine/coreml:all
    python3 runtime/engine/coreml/check_mutations.py [NAME ...]

Run in the root of the checkout, on Linux. Each mutation is compiled alone, linked with the other object files that Bazel made of the engine, and put in
front of the engine's library when the test programs run. It is caught by the compiler, or by a test that fails or crashes. Exits with 1 if
one is not. Takes about half a minute for each; nothing in the checkout is changed.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ENGINE = pathlib.Path("runtime/engine/coreml")
BIN = pathlib.Path("bazel-bin") / ENGINE
TESTS = ("core_ml_engine_test", "core_ml_faults_test", "core_ml_engine_cts_test")
# The long loop is for leaks that no count of objects shows; with it each mutation takes longer and none is caught that the others miss.
FILTER = "-*ManyPredictions*"


@dataclasses.dataclass(frozen=True)
class Mutation:
    name: str
    file: str
    old: str
    new: str


MUTATIONS = (
    Mutation(
        "selector renamed",
        "core_ml_model.mm",
        "predictionFromFeatures:inputs options:options error:",
        "predictFromFeatures:inputs options:options error:",
    ),
    Mutation("selector of another meaning", "compilation.mm", "moveItemAtPath:to_ns(compiled)", "copyItemAtPath:to_ns(compiled)"),
    Mutation("no autorelease pool", "guard.h", "  @autoreleasepool {\n    @try {", "  {\n    @try {"),
    Mutation(
        "exceptions not caught",
        "guard.h",
        "@catch (NSException* exception) { return status_of_exception(exception, doing, artifact); } @catch (id thrown) {",
        "@catch (NSString* thrown) {",
    ),
    Mutation(
        "strides of inputs ignored",
        "core_ml_model.mm",
        "borrow(inputs[i].dtype, inputs[i].shape, inputs[i].strides, inputs[i].data, name)",
        "borrow(inputs[i].dtype, inputs[i].shape, {}, inputs[i].data, name)",
    ),
    Mutation(
        "strides of outputs ignored",
        "core_ml_model.mm",
        "borrow(outputs[i].dtype, fixed_outputs_[i], outputs[i].strides, outputs[i].data,",
        "borrow(outputs[i].dtype, fixed_outputs_[i], {}, outputs[i].data,",
    ),
    Mutation("strides of copied results ignored", "core_ml_model.mm", "outputs[i].strides);\n    });", "{});\n    });"),
    Mutation("backings never proposed", "core_ml_model.mm", "options.outputBackings = proposed;", "(void)proposed;"),
    Mutation(
        "backings believed to be used",
        "core_ml_model.mm",
        "if (!backings.empty() && arrays[i] == backings[i]) continue;",
        "if (!backings.empty()) continue;",
    ),
    Mutation(
        "backings for open shapes",
        "core_ml_model.mm",
        "if (!all_outputs_fixed_ || !backings_available()) return backings;",
        "if (!backings_available()) return backings;",
    ),
    Mutation("capacity not checked", "core_ml_model.mm", "|| needed > view->capacity)", "|| needed > SIZE_MAX - 1)"),
    Mutation("state not put back", "core_ml_model.mm", "state->restore(before)", "state->restore({})"),
    Mutation("state not carried over", "core_ml_state.mm", "if (value->holder == index) continue;", "if (true) continue;"),
    Mutation(
        "state not claimed", "core_ml_state.h", "held_(!state.busy_.exchange(true))", "held_(state.busy_.exchange(true) || true)"
    ),
    Mutation(
        "state leaked",
        "core_ml_state.mm",
        "result->holders_.push_back({holder.model, ObjCPtr<NSObject>::adopt(created)});",
        "result->holders_.push_back({holder.model, ObjCPtr<NSObject>::retain(created)});",
    ),
    Mutation(
        "model released too often",
        "core_ml_engine.mm",
        "return ObjCPtr<MLModel>::retain(model);",
        "return ObjCPtr<MLModel>::adopt(model);",
    ),
    Mutation("cancellation ignored", "compilation.mm", "Status ended = check_cancelled(limits, package);", "Status ended;"),
    Mutation("timeout ignored", "compilation.mm", "limits.timeout.count() > 0 &&", "false &&"),
    Mutation("abandoned result kept", "compilation.mm", "if (result.ok()) remove_folder(*result);", "(void)result;"),
    Mutation(
        "function name not set",
        "configuration.mm",
        "if (!function.empty()) configuration.functionName = to_ns(function);",
        "(void)function;",
    ),
    Mutation(
        "enumerated shapes forgotten",
        "tensors.mm",
        "spec.shape.push_back({static_cast<int64_t>(range.location),",
        "spec.shape.push_back({static_cast<int64_t>(range.location) + 1,",
    ),
    Mutation("errors without a message", "guard.mm", 'from_ns([chain[i] localizedDescription]) + " ("', 'std::string(" (")'),
)


def flatten(text: str) -> str:
    """Whitespace made one space: the formatter may break a line anywhere."""
    return re.sub(r"\s+", "", text)


def mutate(text: str, mutation: Mutation) -> str:
    """The text with the one place that reads `old`, whatever its whitespace, changed."""
    pattern = r"\s*".join(re.escape(character) for character in flatten(mutation.old))
    changed, count = re.subn(pattern, lambda _: mutation.new, text)
    if count != 1:
        raise SystemExit(f"{mutation.name}: found {count} times in {mutation.file}; the list in this script must follow the source")
    return changed


def compiler() -> list[str]:
    text = pathlib.Path("tools/build_defs/objc.bzl").read_text(encoding="utf-8")
    flags = re.findall(r'"([^"]+)"', text[text.index("_GNUSTEP_COPTS = [") :].partition("]")[0])
    external = pathlib.Path(os.readlink("bazel-out")).resolve().parent / "external" / "coreml_delegate_gnustep" / "include"
    if not external.exists():
        external = pathlib.Path(os.readlink("bazel-out")).resolve().parents[2] / "external" / "coreml_delegate_gnustep" / "include"
    clang = next(
        name for name in ("clang-16", "clang-19", "clang") if subprocess.run(["which", name], capture_output=True).returncode == 0
    )
    includes = ["-isystem", str(external), "-isystem", str(ENGINE / "gnustep/include")]
    return [clang, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fPIC", *flags, *includes]


def compile_mutated(mutation: Mutation, folder: pathlib.Path) -> list[pathlib.Path] | None:
    """The object files that replace those of the sources that the mutation reaches; None if it does not compile."""
    source = ENGINE / mutation.file
    copy = folder / source
    copy.parent.mkdir(parents=True)
    copy.write_text(mutate(source.read_text(encoding="utf-8"), mutation), encoding="utf-8")
    reached = [source]
    if source.suffix == ".h":
        # Every source of the engine that includes it, directly or not.
        names, before = {source.as_posix()}, 0
        while len(names) != before:
            before = len(names)
            for path in (*ENGINE.glob("*.h"), *ENGINE.glob("*.mm")):
                if "test" not in path.name and any(f'"{name}"' in path.read_text(encoding="utf-8") for name in names):
                    names.add(path.as_posix())
        reached = [path for path in ENGINE.glob("*.mm") if path.as_posix() in names]
    objects = []
    for path in reached:
        target = folder / f"coreml_{path.stem}.pic.o"
        text = copy if path == source else path
        # The mutated header is found before the checkout's.
        done = subprocess.run(
            [*compiler(), "-iquote", str(folder), "-iquote", ".", "-iquote", "bazel-bin", "-c", str(text), "-o", str(target)],
            capture_output=True,
        )
        if done.returncode != 0:
            return None
        objects.append(target)
    return objects


def first_failure(library: pathlib.Path) -> str | None:
    """The test that fails with the library in front of the engine's; None if all pass."""
    for test in TESTS:
        runfiles = (BIN / f"{test}.runfiles" / "coreml_delegate").resolve()
        try:
            done = subprocess.run(
                [f"./{ENGINE}/{test}", f"--gtest_filter={FILTER}", "--gtest_fail_fast"],
                cwd=runfiles,
                env={**os.environ, "LD_PRELOAD": str(library)},
                capture_output=True,
                text=True,
                timeout=300,
            )
        except subprocess.TimeoutExpired:
            return f"{test} (did not end)"
        if done.returncode != 0:
            failed = re.findall(r"\[  FAILED  \] (\S+)", done.stdout) or re.findall(r"\[ RUN      \] (\S+)", done.stdout)[-1:]
            return (failed[0] if failed else test) + (" (crash)" if done.returncode < 0 else "")
    return None


def main() -> int:
    wanted = sys.argv[1:]
    missed = []
    with tempfile.TemporaryDirectory() as temporary:
        for number, mutation in enumerate(MUTATIONS):
            if wanted and mutation.name not in wanted:
                continue
            start = time.monotonic()
            folder = pathlib.Path(temporary) / str(number)
            folder.mkdir()
            objects = compile_mutated(mutation, folder)
            if objects is None:
                caught: str | None = "the compiler"
            else:
                replaced = {path.name for path in objects}
                others = [path for path in (BIN / "_objs/coreml_gnustep").glob("*.pic.o") if path.name not in replaced]
                library = folder / "libmutated.so"
                subprocess.run(["clang-16", "-shared", "-o", library, *objects, *others], check=True)
                caught = first_failure(library)
            print(
                f"{mutation.name}: {'caught by ' + caught if caught else 'NOT CAUGHT'} ({time.monotonic() - start:.0f} s)",
                flush=True,
            )
            if caught is None:
                missed.append(mutation.name)
    print(f"{len(missed)} not caught: {missed}" if missed else "all caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
