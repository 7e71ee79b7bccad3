"""What is made of many programs: a table, and a baseline of times. docs/bazel_rules.md has every attribute."""

load(":program.bzl", "CoremlProgramInfo", "check_executions", "label_text", "run_action")

# Finds its own runfiles, runs a program among them.
_LAUNCHER = """#!/bin/sh
# Written by {label}.
case "$0" in /*) self=$0 ;; *) self=$PWD/$0 ;; esac
cd "${{RUNFILES_DIR:-$self.runfiles}}/{main}" || exit 1
exec {program} {arguments} "$@"
"""

def _launcher(ctx, target, program, arguments, files):
    """The providers of a rule that `bazel run` runs."""
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        script,
        _LAUNCHER.format(
            arguments = " ".join(["'{}'".format(word) for word in arguments]),
            label = label_text(ctx.label),
            main = ctx.workspace_name,
            program = program.short_path if "/" in program.short_path else "./" + program.short_path,
        ),
        is_executable = True,
    )
    runfiles = ctx.runfiles(files = files).merge(target[DefaultInfo].default_runfiles)
    return DefaultInfo(executable = script, files = depset(files), runfiles = runfiles)

def _measures(ctx, info):
    """What the runner says of a program against PyTorch: one action for each program, whichever fleets it is in."""
    measures = ctx.actions.declare_file("{}.fleet/{}.json".format(ctx.label.name, _file_name(info.label)))
    args = ctx.actions.args()
    args.add("verify")
    args.add("--label", info.label)
    args.add("--program", info.pte)
    for method, reference in info.references.items():
        args.add("--reference", reference, format = method + "=%s")
    args.add("--output", measures)
    run_action(
        ctx,
        ctx.executable._runner,
        "CoremlRun",
        args,
        depset([info.pte] + info.references.values()),
        [measures],
        "Comparing {} with PyTorch".format(info.label),
    )
    return measures

def _file_name(label):
    kept = [c if c.isalnum() or c in "_." else "_" for c in label.elems()]
    return "".join(kept).strip("_")

def _coreml_fleet_impl(ctx):
    table = ctx.actions.declare_file(ctx.label.name + ".json")
    page = ctx.actions.declare_file(ctx.label.name + ".html")
    args = ctx.actions.args()
    args.add("--label", label_text(ctx.label))
    inputs = []
    for target in ctx.attr.programs:
        info = target[CoremlProgramInfo]
        inputs += [info.facts, info.partition_json]
        measures = ""
        if ctx.attr.compare_with_pytorch:
            measures = _measures(ctx, info)
            inputs.append(measures)
        args.add("--program")
        args.add(info.label)
        args.add(info.facts)
        args.add(info.partition_json)
        args.add(measures)
    for name, file in [("--latency", ctx.file.latency), ("--compare", ctx.file.compare)]:
        if file:
            inputs.append(file)
            args.add(name, file)
    args.add("--json", table)
    args.add("--html", page)
    ctx.actions.run(
        arguments = [args],
        executable = ctx.executable._fleet,
        inputs = inputs,
        mnemonic = "CoremlFleet",
        outputs = [table, page],
        progress_message = "Making the table of {}".format(label_text(ctx.label)),
        use_default_shell_env = True,
    )
    return [_launcher(ctx, ctx.attr._show, ctx.executable._show, ["--label", label_text(ctx.label), "--table", table.short_path], [table, page])]

coreml_fleet = rule(
    implementation = _coreml_fleet_impl,
    doc = """A table of programs, NAME.json and NAME.html: sizes, partitions, what is outside, errors against PyTorch, times.

`bazel run NAME -- --compare EARLIER.json` prints it and what is different since.""",
    attrs = {
        "compare": attr.label(allow_single_file = [".json"], doc = "The JSON of an earlier table; the page tells what is different."),
        "compare_with_pytorch": attr.bool(default = True, doc = "Whether the programs are run, for their errors."),
        "latency": attr.label(allow_single_file = [".json"], doc = "What coreml_latency_baseline wrote, for times."),
        "programs": attr.label_list(allow_empty = False, doc = "coreml_programs.", mandatory = True, providers = [CoremlProgramInfo]),
        "_fleet": attr.label(cfg = "exec", default = Label("//rules:fleet"), executable = True),
        "_runner": attr.label(cfg = "target", default = Label("//rules:runner"), executable = True),
        "_show": attr.label(cfg = "target", default = Label("//rules:fleet"), executable = True),
    },
    executable = True,
)

def _coreml_latency_baseline_impl(ctx):
    check_executions(ctx)
    out = ctx.attr.out
    if not out.endswith(".json") or out.startswith("/") or ".." in out.split("/"):
        fail("{}: out is {}, which is not a path of a .json file from the workspace's folder".format(label_text(ctx.label), repr(out)))
    arguments = ["--out", out, "-n", str(ctx.attr.executions)]
    files = []
    for target in ctx.attr.programs:
        info = target[CoremlProgramInfo]
        files.append(info.pte)
        arguments += ["--program", info.label, info.references.keys()[0], info.pte.short_path]
    return [_launcher(ctx, ctx.attr._latency, ctx.executable._latency, arguments, files)]

coreml_latency_baseline = rule(
    implementation = _coreml_latency_baseline_impl,
    doc = "`bazel run NAME` measures the first method of each program on this machine and writes `out` into the source tree. It judges nothing.",
    attrs = {
        "executions": attr.int(default = 50, doc = "Of each program."),
        "out": attr.string(doc = "The JSON file, from the workspace's folder.", mandatory = True),
        "programs": attr.label_list(allow_empty = False, doc = "coreml_programs.", mandatory = True, providers = [CoremlProgramInfo]),
        "_latency": attr.label(cfg = "target", default = Label("//rules:latency"), executable = True),
    },
    executable = True,
)
