"""Repository rules for Python distributions: one external repository per line of requirements.lock and extra.lock.

`coreml_delegate_pypi` reads the locks and offers an alias per distribution; `coreml_delegate_pypi_NAME` holds one unpacked wheel.
A wheel is fetched when a target that needs it is built, and again only when its own line of a lock changes.
"""

load("//third-party:find_python.bzl", "find_python")
load("//third-party:missing.bzl", "write_missing_repository")
load(":lock.bzl", "parse_lock")

_PREFIX = "coreml_delegate_pypi"

LOCKS = [Label("//third-party/pypi:requirements.lock"), Label("//third-party/pypi:extra.lock")]

# Distributions whose wheel also holds C++ headers and libraries: the BUILD file that declares them, and their names.
_OVERLAYS = {
    "executorch": struct(
        build = Label("//third-party/executorch:wheel.BUILD.bazel"),
        libraries = ["etdump", "kernels", "runtime"],
    ),
    "openvino": struct(build = Label("//third-party/openvino:wheel.BUILD.bazel"), libraries = ["openvino"]),
    "tbb_devel": struct(build = Label("//third-party/tbb:wheel.BUILD.bazel"), libraries = ["headers"]),
}
_NO_OVERLAY = struct(build = None, libraries = [])

_WHEEL_BUILD = """load("@rules_python//python:defs.bzl", "py_library")

package(default_visibility = ["//visibility:public"])

# A folder as an input: one link in every sandbox and runfiles tree instead of one per file.
py_library(
    name = "pkg",
    data = ["site-packages"],
    imports = ["site-packages"],
    deps = {deps},
)

filegroup(
    name = "site_packages",
    srcs = ["site-packages"],
)
"""

def _label_list(names):
    # Through the hub, which knows what another workspace brings in a distribution's place.
    return "[" + "".join(["\n        \"@{}//:{}\",".format(_PREFIX, n) for n in names]) + ("\n    " if names else "") + "]"

def _wheel_impl(repository_ctx):
    python = find_python(repository_ctx)
    if python.missing:
        write_missing_repository(repository_ctx, python.missing, repository_ctx.attr.libraries, is_wheel = True)
        return
    result = repository_ctx.execute(
        [
            python.executable,
            repository_ctx.path(repository_ctx.attr._fetch),
            repository_ctx.attr.requirement,
            repository_ctx.attr.sdist,
        ],
        timeout = 3600,
    )
    if result.return_code:
        fail("\n{}{}\n".format(result.stdout, result.stderr))
    needs = repository_ctx.attr.needs + repository_ctx.attr.version_needs.get(result.stdout.strip(), [])
    build = _WHEEL_BUILD.format(deps = _label_list(needs))
    if repository_ctx.attr.overlay:
        build += "\n" + repository_ctx.read(repository_ctx.attr.overlay)
    repository_ctx.file("BUILD.bazel", build, executable = False)
    repository_ctx.file("WORKSPACE", "", executable = False)

wheel = repository_rule(
    implementation = _wheel_impl,
    doc = "One distribution, fetched with the user's pip and unpacked, never built; target `pkg`.",
    attrs = {
        "libraries": attr.string_list(doc = "The C++ targets of `overlay`."),
        "needs": attr.string_list(doc = "Distributions that this one imports."),
        "overlay": attr.label(allow_single_file = True, doc = "Appended to the BUILD file: C++ targets of the wheel."),
        "requirement": attr.string(mandatory = True, doc = "The lock line: NAME==VERSION --hash=..."),
        "sdist": attr.string(doc = "The folder of importable code, for a distribution that is an archive of sources; else empty."),
        "version_needs": attr.string_list_dict(doc = "Further needs of the build with exactly this version."),
        "_fetch": attr.label(default = Label("//third-party/pypi:fetch_wheel.py"), allow_single_file = True),
    },
)

def _hub_impl(repository_ctx):
    entries = parse_lock("\n".join([repository_ctx.read(lock) for lock in repository_ctx.attr.locks]))
    packages = repository_ctx.attr.packages
    for name in packages:
        if name not in [e.name for e in entries]:
            fail("{}: no such distribution in requirements.lock or extra.lock".format(name))
    aliases = [
        "alias(\n    name = \"{}\",\n    actual = \"{}\",\n    visibility = [\"//visibility:public\"],\n)\n"
            .format(e.name, packages.get(e.name, "@{}_{}//:pkg".format(_PREFIX, e.name)))
        for e in entries
    ]
    repository_ctx.file("BUILD.bazel", "\n".join(aliases), executable = False)
    rows = [
        "    struct(\n        name = {},\n        requirement = {},\n        needs = {},\n        version_needs = {},\n        sdist = {},\n    ),\n"
            .format(repr(e.name), repr(e.requirement), repr(e.needs), repr(e.version_needs), repr(e.sdist))
        for e in entries
    ]
    repository_ctx.file(
        "requirements.bzl",
        "\"\"\"requirements.lock and extra.lock, parsed.\"\"\"\n\nREQUIREMENTS = [\n" + "".join(rows) + "]\n",
        executable = False,
    )
    repository_ctx.file("WORKSPACE", "", executable = False)

_hub = repository_rule(
    implementation = _hub_impl,
    attrs = {
        "locks": attr.label_list(mandatory = True, allow_files = True),
        "packages": attr.string_dict(doc = "Distributions that another workspace brings: name -> canonical label."),
    },
)

def pypi_lock(packages = {}):
    """Declares `coreml_delegate_pypi`: the parsed locks (`requirements.bzl`) and an alias per distribution.

    Args:
      packages: name -> canonical label, for distributions that another workspace brings.
    """
    _hub(name = _PREFIX, locks = LOCKS, packages = packages)

def pypi_repositories(requirements):
    """Declares one repository per distribution.

    Args:
      requirements: `REQUIREMENTS` of `@coreml_delegate_pypi//:requirements.bzl`, or what `parse_lock` returns.
    """
    for e in requirements:
        wheel(
            name = _PREFIX + "_" + e.name,
            libraries = _OVERLAYS.get(e.name, _NO_OVERLAY).libraries,
            needs = e.needs,
            overlay = _OVERLAYS.get(e.name, _NO_OVERLAY).build,
            requirement = e.requirement,
            sdist = e.sdist,
            version_needs = e.version_needs,
        )
