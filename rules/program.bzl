"""coreml_program: a PyTorch model becomes a .pte as an action of the build. docs/bazel_rules.md has every attribute."""

load("@rules_python//python:defs.bzl", "PyInfo")

CoremlProgramInfo = provider(
    doc = "What a coreml_program makes, and what else can be made of it. Files are built when they are asked for.",
    fields = {
        "facts": "File: what `coreml inspect --json` says of the .pte.",
        "label": "string: the target's label, for messages.",
        "packages": "File: a folder of METHOD_INDEX.mlpackage.",
        "partition_json": "File: the partition report of each method.",
        "partition_text": "File: the same for people.",
        "pte": "File: the program.",
        "references": "dict of method to File: the exported program as a .pt2.",
    },
)

def label_text(label):
    """The label as a user writes it: without `@` in the main repository.

    Args:
      label: of a target.

    Returns:
      Its text.
    """
    text = str(label)
    for prefix in ["@@//", "@//"]:
        if text.startswith(prefix):
            text = text[len(prefix) - 2:]
    return text

def check_executions(ctx):
    """Fails where the attribute `executions` of a rule that measures is no number of executions.

    Args:
      ctx: of the rule.
    """
    if ctx.attr.executions < 1:
        fail("{}: executions must be at least 1, not {}".format(label_text(ctx.label), ctx.attr.executions))

def _file_line(file):
    return file.short_path + "=" + file.path

def run_action(ctx, executable, mnemonic, arguments, inputs, outputs, message, is_measurement = False):
    """Runs one action of rules/coreml_rules, in a persistent worker where Bazel's strategy says so.

    Args:
      ctx: of the rule.
      executable: the File of builder or runner.
      mnemonic: of the action; of no two executables, since Bazel keeps workers apart by it.
      arguments: Args without a parameter file.
      inputs: a depset of Files.
      outputs: Files.
      message: the progress message.
      is_measurement: whether the result is this machine's and this moment's, and is kept in no cache.
    """
    arguments.set_param_file_format("multiline")
    arguments.use_param_file("@%s", use_always = True)
    requirements = {"requires-worker-protocol": "proto", "supports-workers": "1"}
    if is_measurement:
        requirements.update({"no-cache": "1", "no-remote": "1"})
    ctx.actions.run(
        arguments = [arguments],
        executable = executable,
        execution_requirements = requirements,
        inputs = inputs,
        mnemonic = mnemonic,
        outputs = outputs,
        progress_message = message,
        # PATH, by which the launcher of a py_binary finds a Python; the program itself drops what else there is.
        use_default_shell_env = True,
    )

def _methods(ctx):
    """method -> MODULE:FUNCTION."""
    if bool(ctx.attr.module) == bool(ctx.attr.methods):
        fail("{}: set either `module`, for a program with the one method forward, or `methods`".format(label_text(ctx.label)))
    if ctx.attr.methods and (ctx.attr.inputs or ctx.attr.dynamic_shapes):
        fail("{}: `inputs` and `dynamic_shapes` are for `module`; the functions of `methods` return them".format(label_text(ctx.label)))
    return ctx.attr.methods or {"forward": ctx.attr.module}

def _spec(ctx):
    """lowering.Spec."""
    label = label_text(ctx.label)
    methods = _methods(ctx)
    for name, function in methods.items():
        module, colon, member = function.partition(":")
        if not module or not colon or not member or "/" in module:
            fail("{}: {} is {}, which is not a MODULE:FUNCTION such as pkg.models:make".format(label, name, repr(function)))
    if ctx.attr.recipe and ctx.attr.compile_specs:
        fail("{}: a recipe has compile specs of its own: use recipe_arguments in the place of compile_specs".format(label))
    if ctx.attr.recipe and ctx.attr.quantization:
        fail("{}: a recipe has a quantization of its own: leave out either recipe or quantization".format(label))
    if ctx.attr.recipe_arguments and not ctx.attr.recipe:
        fail("{}: recipe_arguments is set, but recipe is not".format(label))
    if ctx.attr.calibration and not (ctx.attr.quantization or ctx.attr.recipe):
        fail("{}: calibration is set, but neither quantization nor recipe is".format(label))
    return struct(
        arguments = {name: ctx.expand_location(value, ctx.attr.data) for name, value in ctx.attr.arguments.items()},
        calibration = ctx.attr.calibration,
        compile_specs = ctx.attr.compile_specs,
        dynamic_shapes = ctx.attr.dynamic_shapes,
        inputs = ctx.attr.inputs,
        lower_full_graph = ctx.attr.lower_full_graph,
        methods = methods,
        quantization = ctx.attr.quantization,
        recipe = ctx.attr.recipe,
        recipe_arguments = ctx.attr.recipe_arguments,
        skip_ops = ctx.attr.skip_ops,
        take_over_mutable_buffer = ctx.attr.take_over_mutable_buffer,
    )

def _coreml_program_impl(ctx):
    label = label_text(ctx.label)
    name = ctx.label.name
    spec = _spec(ctx)

    runfiles = ctx.runfiles(files = ctx.files.data)
    for target in ctx.attr.deps + ctx.attr.data:
        runfiles = runfiles.merge(target[DefaultInfo].default_runfiles)
    files = runfiles.files
    imports = depset(transitive = [dep[PyInfo].imports for dep in ctx.attr.deps])

    def_args = struct(files = files, imports = imports, label = label, spec = json.encode(spec))

    pte = ctx.actions.declare_file(name + ".pte")
    partition_text = ctx.actions.declare_file(name + ".partition.txt")
    partition_json = ctx.actions.declare_file(name + ".partition.json")
    args = _model_arguments(ctx, "lower", def_args)
    args.add("--pte", pte)
    args.add("--text", partition_text)
    args.add("--json", partition_json)
    run_action(
        ctx,
        ctx.executable._builder,
        "CoremlBuild",
        args,
        files,
        [pte, partition_text, partition_json],
        "Lowering {} for Core ML".format(label),
    )

    references = {method: ctx.actions.declare_file("{}.{}.pt2".format(name, method)) for method in spec.methods}
    args = _model_arguments(ctx, "reference", def_args)
    for method, file in references.items():
        args.add("--reference", file, format = method + "=%s")
    run_action(
        ctx,
        ctx.executable._builder,
        "CoremlBuild",
        args,
        files,
        references.values(),
        "Exporting {} as a reference".format(label),
    )

    packages = ctx.actions.declare_directory(name + ".packages")
    args = ctx.actions.args()
    args.add("packages")
    args.add("--label", label)
    args.add("--pte", pte)
    args.add("--folder", packages.path)
    run_action(
        ctx,
        ctx.executable._builder,
        "CoremlBuild",
        args,
        depset([pte]),
        [packages],
        "Extracting the packages of {}".format(label),
    )

    facts = ctx.actions.declare_file(name + ".facts.json")
    args = ctx.actions.args()
    args.add("facts")
    args.add("--label", label)
    args.add("--pte", pte)
    args.add("--json", facts)
    run_action(ctx, ctx.executable._builder, "CoremlBuild", args, depset([pte]), [facts], "Inspecting {}".format(label))

    return [
        CoremlProgramInfo(
            facts = facts,
            label = label,
            packages = packages,
            partition_json = partition_json,
            partition_text = partition_text,
            pte = pte,
            references = references,
        ),
        DefaultInfo(files = depset([pte]), runfiles = ctx.runfiles(files = [pte])),
        OutputGroupInfo(
            facts = depset([facts]),
            packages = depset([packages]),
            partition = depset([partition_text, partition_json]),
            partition_json = depset([partition_json]),
            reference = depset(references.values()),
        ),
    ]

def _model_arguments(ctx, action, given):
    """Args of an action that runs the user's function."""
    args = ctx.actions.args()
    args.add(action)
    args.add("--label", given.label)
    args.add("--spec", given.spec)
    args.add("--main", ctx.workspace_name)
    args.add_all(given.files, format_each = "--file=%s", expand_directories = False, map_each = _file_line)
    args.add_all(given.imports, format_each = "--import=%s")
    return args

coreml_program = rule(
    implementation = _coreml_program_impl,
    doc = "Lowers a PyTorch model to NAME.pte. The same inputs give the same bytes, in any checkout.",
    attrs = {
        "arguments": attr.string_dict(
            doc = "Keyword arguments of the functions, strings; $(rootpath LABEL) of `data` is a path they can open.",
        ),
        "calibration": attr.string(
            doc = "MODULE:FUNCTION that returns a list of tuples of inputs, to measure ranges with; without it the example inputs are taken.",
        ),
        "compile_specs": attr.string_dict(
            doc = "Arguments of CoreMLBackend.generate_compile_specs by name: members of enumerations by theirs (iOS17, FLOAT32, CPU_ONLY), all else as JSON.",
        ),
        "data": attr.label_list(allow_files = True, doc = "Files that the functions read, such as weights."),
        "deps": attr.label_list(doc = "py_librarys of the modules and of what they import.", providers = [PyInfo]),
        "dynamic_shapes": attr.string_dict(
            doc = "Argument of forward() -> its extents, such as \"batch=1..8, _, length=2..128\"; equal names are equal extents.",
        ),
        "inputs": attr.string_list(
            doc = "Example inputs to make up, such as \"float32[1, 3, 224, 224]\", for a function that returns only the module.",
        ),
        "lower_full_graph": attr.bool(doc = "Fail when anything has to stay outside Core ML."),
        "methods": attr.string_dict(doc = "Method -> MODULE:FUNCTION, for a program with several."),
        "module": attr.string(
            doc = "MODULE:FUNCTION that returns a torch.nn.Module, or (module, example inputs), or (module, example inputs, dynamic_shapes).",
        ),
        "quantization": attr.string(doc = "A LinearQuantizerConfig of coremltools as JSON: the model is quantized with CoreMLQuantizer."),
        "recipe": attr.string(doc = "A name of CoreMLRecipeType, such as coreml_pt2e_int8_weight_only, in the place of compile_specs."),
        "recipe_arguments": attr.string_dict(doc = "Arguments of the recipe, as those of compile_specs."),
        "skip_ops": attr.string_list(doc = "Ops to leave outside Core ML, such as aten.add."),
        "take_over_mutable_buffer": attr.bool(default = True, doc = "Make mutable buffers Core ML states where that can be."),
        "_builder": attr.label(cfg = "exec", default = Label("//rules:builder"), executable = True),
    },
    provides = [CoremlProgramInfo],
)
