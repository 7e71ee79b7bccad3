"""Wheels for macOS of which a test reads files, on any system: nobody imports them.

macos.lock is a pip requirements file with one line for each; `tools/update_lock` writes it:

    NAME==VERSION --hash=sha256:HEX  # platform: TAG PYTHON

TAG and PYTHON are pip's --platform and --python-version.
"""

load("//third-party:find_python.bzl", "find_python")
load("//third-party:missing.bzl", "write_missing_repository")

_LOCK = Label("//third-party/pypi:macos.lock")

def _line(text, distribution):
    for line in text.split("\n"):
        if line.startswith(distribution + "=="):
            requirement, _, platform = line.partition("  # platform: ")
            return requirement, platform.split(" ")
    fail("macos.lock: no line of {}; run tools/update_lock".format(distribution))

def _macos_wheel_impl(repository_ctx):
    targets = repository_ctx.attr.files
    repository_ctx.file("WORKSPACE", "", executable = False)
    python = find_python(repository_ctx)
    if python.missing:
        write_missing_repository(repository_ctx, python.missing, targets.values())
        return
    requirement, platform = _line(repository_ctx.read(_LOCK), repository_ctx.attr.distribution)
    repository_ctx.file("requirements.txt", requirement + "\n", executable = False)
    done = repository_ctx.execute(
        [python.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"] +
        ["--disable-pip-version-check", "--no-input", "--platform", platform[0], "--python-version", platform[1]] +
        ["--dest", "download", "--requirement", "requirements.txt"],
        timeout = 3600,
    )
    if done.return_code:
        fail("\n{}: pip could not download it\n{}{}\n".format(requirement.partition(" ")[0], done.stdout, done.stderr))
    (wheel,) = repository_ctx.path("download").readdir()
    repository_ctx.symlink(wheel, "wheel.zip")
    repository_ctx.extract("wheel.zip", "site-packages")
    repository_ctx.delete("wheel.zip")
    repository_ctx.delete("download")
    rules = [
        "filegroup(\n    name = \"{}\",\n    srcs = [\"site-packages/{}\"],\n    visibility = [\"//visibility:public\"],\n)\n".format(target, file)
        for file, target in targets.items()
    ]
    repository_ctx.file("BUILD.bazel", "\n".join(rules), executable = False)

macos_wheel = repository_rule(
    implementation = _macos_wheel_impl,
    doc = "The locked wheel for macOS of one distribution, fetched with the user's pip, unpacked and not compiled.",
    attrs = {
        "distribution": attr.string(mandatory = True, doc = "Its name in macos.lock."),
        "files": attr.string_dict(mandatory = True, doc = "File in the wheel -> the target that it becomes."),
    },
)
