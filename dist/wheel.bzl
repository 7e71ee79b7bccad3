"""The wheel as a target."""

load(":portable.bzl", "portable_transition")

def _wheel_impl(ctx):
    name = "{}-{}-py3-none-{}.whl".format(ctx.attr.distribution, ctx.attr.version, ctx.attr.platform)
    info = "{}-{}.dist-info/".format(ctx.attr.distribution, ctx.attr.version)
    placed = [(file.short_path[len("python/"):], file) for file in ctx.files.srcs]
    for file in ctx.files.libraries + ctx.files.native + ctx.files.native_as_is:
        placed.append((ctx.attr.distribution + "/lib/" + file.basename, file))
    for target, destination in ctx.attr.files.items():
        for file in target[DefaultInfo].files.to_list():
            path = destination.replace("{info}", info)
            placed.append((path + file.basename if path.endswith("/") else path, file))
    cc = ctx.toolchains["@bazel_tools//tools/cpp:toolchain_type"]
    manifest = ctx.actions.declare_file(ctx.label.name + ".manifest")
    ctx.actions.write(manifest, "\n".join(sorted(["{}\t{}".format(path, file.path) for path, file in placed])) + "\n")
    wheel = ctx.actions.declare_file("{}/{}".format(ctx.label.name, name))
    ctx.actions.run(
        executable = ctx.executable._builder,
        arguments = [
            "--out=" + wheel.path,
            "--manifest=" + manifest.path,
            "--strip=" + getattr(cc, "cc", cc).strip_executable,
        ] + (["--for-this-machine"] if ctx.files.native_as_is else []),
        inputs = [file for _, file in placed] + [manifest],
        outputs = [wheel],
        mnemonic = "Wheel",
        progress_message = "Writing " + name,
    )
    return DefaultInfo(files = depset([wheel]), runfiles = ctx.runfiles([wheel]))

wheel = rule(
    implementation = _wheel_impl,
    attrs = {
        "distribution": attr.string(mandatory = True, doc = "Of distribution and import."),
        "files": attr.label_keyed_string_dict(allow_files = True, doc = "Further files: where each goes; `{info}` is the metadata's folder."),
        "libraries": attr.label_list(allow_files = True, doc = "Files for the package's folder lib."),
        "native": attr.label_list(cfg = portable_transition, allow_files = True, doc = "Libraries and programs, for the package's folder lib."),
        "native_as_is": attr.label_list(allow_files = True, doc = "The same, built as the build around it is: for this machine only."),
        "platform": attr.string(mandatory = True, doc = "The platform tag; build_wheel.py checks that it is true."),
        "srcs": attr.label_list(allow_files = [".py", ".css", ".jinja", ".js", ".typed"], doc = "Files below //python."),
        "version": attr.string(mandatory = True),
        "_allowlist_function_transition": attr.label(default = "@bazel_tools//tools/allowlists/function_transition_allowlist"),
        "_builder": attr.label(default = ":build_wheel", executable = True, cfg = "exec"),
    },
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    doc = "A wheel for any Python 3, with libraries that are loaded through ctypes.",
)
