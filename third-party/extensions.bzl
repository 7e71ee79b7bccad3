"""Module extensions: the external repositories of repositories.bzl for MODULE.bazel."""

load("//third-party/pypi:lock.bzl", "parse_lock")
load("//third-party/pypi:repositories.bzl", "LOCKS", "pypi_lock", "pypi_repositories")
load(":repositories.bzl", "local_repositories")
load(":system.bzl", "LIBRARIES")

def _root_tags(module_ctx, kind):
    """The root module's tags: what a module in the middle of a graph asks for is not for it to decide."""
    return [tag for module in module_ctx.modules if module.is_root for tag in getattr(module.tags, kind)]

def _local_impl(module_ctx):
    tags = _root_tags(module_ctx, "library")
    local_repositories({
        tag.name: struct(target = str(tag.target), tool = str(tag.tool) if tag.tool else None)
        for tag in tags
    })

local = module_extension(
    implementation = _local_impl,
    doc = "The compiler, Python and the libraries found on the machine.",
    tag_classes = {
        "library": tag_class(
            doc = "A library of yours that takes the place of the machine's.",
            attrs = {
                "name": attr.string(mandatory = True, values = LIBRARIES),
                "target": attr.label(mandatory = True, doc = "A cc_library."),
                "tool": attr.label(doc = "Its program: protoc for protobuf, flatc for flatbuffers, of the library's version."),
            },
        ),
    },
)

def _pypi_impl(module_ctx):
    pypi_lock({tag.name: str(tag.target) for tag in _root_tags(module_ctx, "package")})
    pypi_repositories(parse_lock("\n".join([module_ctx.read(lock) for lock in LOCKS])))

pypi = module_extension(
    implementation = _pypi_impl,
    doc = "The Python distributions of requirements.lock and extra.lock.",
    tag_classes = {
        "package": tag_class(
            doc = "A Python distribution of yours that takes the place of the locked one.",
            attrs = {
                "name": attr.string(mandatory = True, doc = "Its name in third-party/pypi: PEP 503's, with `_` for `-` and `.`."),
                "target": attr.label(mandatory = True, doc = "A py_library, such as @pip//torch."),
            },
        ),
    },
)
