"""Module extensions: the external repositories of repositories.bzl for MODULE.bazel."""

load("//third-party/pypi:lock.bzl", "parse_lock")
load("//third-party/pypi:repositories.bzl", "pypi_lock", "pypi_repositories")
load(":repositories.bzl", "local_repositories")

def _local_impl(_module_ctx):
    local_repositories()

local = module_extension(
    implementation = _local_impl,
    doc = "The compiler, Python and the libraries found on the machine.",
)

def _pypi_impl(module_ctx):
    pypi_lock()
    pypi_repositories(parse_lock(module_ctx.read(Label("//third-party/pypi:requirements.lock"))))

pypi = module_extension(
    implementation = _pypi_impl,
    doc = "The Python distributions of requirements.lock.",
)
