"""Programs that are published as packages of npm.

The user's npm fetches the package, so that its configuration (registry, mirrors, certificates) is honoured, and the archive is held to a hash. npm
installs nothing, and no script of the package runs.

Where npm is missing or cannot fetch the package, the repository says so instead (missing.bzl): what needs the program is skipped, and builds of other
targets go on.
"""

load("//third-party:missing.bzl", "MISSING", "write_missing_repository")

# What `uname -sm` says -> how packages of Go programs call the platform.
_PLATFORMS = {
    "Darwin arm64": "darwin_arm64",
    "Darwin x86_64": "darwin_amd64",
    "Linux aarch64": "linux_arm64",
    "Linux x86_64": "linux_amd64",
}

_BUILD = """load("@rules_cc//cc:defs.bzl", "cc_library")

exports_files(
    [{program}, {missing}],
    visibility = ["//visibility:public"],
)

# What depends on it is skipped where the program is missing, and nothing else.
cc_library(
    name = "present",
    visibility = ["//visibility:public"],
)
"""

def _fetch(repository_ctx):
    """Puts the program into place. Returns what is wrong, one sentence, or None."""
    attr = repository_ctx.attr
    npm = repository_ctx.which("npm")
    if not npm:
        return "{}: npm not found. Debian: apt-get install npm".format(attr.program)
    platform = _PLATFORMS.get(repository_ctx.execute(["uname", "-sm"]).stdout.strip())
    if not platform:
        return "{}: the package has no program for this platform".format(attr.program)
    done = repository_ctx.execute([npm, "pack", "--silent", "--ignore-scripts", attr.package], timeout = 600)
    if done.return_code:
        return "{}: npm could not fetch {}".format(attr.program, attr.package)

    # A file's URL, for the hash.
    archive = repository_ctx.path(done.stdout.strip().split("\n")[-1])
    repository_ctx.download_and_extract(
        url = "file://{}".format(archive),
        sha256 = attr.sha256,
        stripPrefix = "package",
    )
    repository_ctx.delete(archive)
    repository_ctx.symlink("{}-{}".format(attr.program, platform), attr.program)
    return None

def _npm_program_impl(repository_ctx):
    program = repository_ctx.attr.program
    problem = _fetch(repository_ctx)
    if problem:
        write_missing_repository(repository_ctx, problem, libraries = ["present"], tools = [program])
        return
    repository_ctx.file(MISSING, "", executable = False)
    repository_ctx.file("BUILD.bazel", _BUILD.format(missing = repr(MISSING), program = repr(program)), executable = False)
    repository_ctx.file("WORKSPACE", "", executable = False)

npm_program = repository_rule(
    implementation = _npm_program_impl,
    doc = "The program of one package for this machine's platform, as the file of its name.",
    attrs = {
        "package": attr.string(mandatory = True, doc = "NAME@VERSION."),
        "program": attr.string(mandatory = True, doc = "The package has it as PROGRAM-PLATFORM, such as buildifier-linux_amd64."),
        "sha256": attr.string(mandatory = True, doc = "Of the archive."),
    },
)
