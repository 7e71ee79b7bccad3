"""The module extension: the external repositories of repositories.bzl for MODULE.bazel.

Its tags say what a workspace brings itself (docs/setup.md). Only those of the root module count: what a module in the middle of a graph asks
for is not for it to decide.
"""

load("//third-party/pypi:lock.bzl", "parse_lock")
load("//third-party/pypi:repositories.bzl", "LOCKS", "pypi_repositories")
load(":repositories.bzl", "LIBRARIES", "coreml_delegate_repositories")

def _text(label):
    """The canonical label, or None."""
    return str(label) if label else None

def _only(tags, kind):
    """The one tag of a kind that is given once, or None."""
    if len(tags) > 1:
        fail("coreml.{} is given {} times, where one says all".format(kind, len(tags)))
    return tags[0] if tags else None

def _coreml_impl(module_ctx):
    roots = [module for module in module_ctx.modules if module.is_root]
    tags = roots[0].tags if roots else struct(library = [], executorch = [], openvino = [], python = [])
    executorch = _only(tags.executorch, "executorch")
    openvino = _only(tags.openvino, "openvino")
    python = _only(tags.python, "python")
    coreml_delegate_repositories(
        executorch = {
            name: str(label)
            for name, label in [("runtime", executorch.runtime), ("kernels", executorch.kernels), ("etdump", executorch.etdump)]
            if label
        } if executorch else {},
        libraries = {tag.name: str(tag.target) for tag in tags.library},
        openvino = _text(openvino.library) if openvino else None,
        packages = {name: str(label) for name, label in python.packages.items()} if python else {},
        tools = {tag.name: str(tag.tool) for tag in tags.library if tag.tool},
    )
    pypi_repositories(parse_lock("\n".join([module_ctx.read(lock) for lock in LOCKS])))

coreml = module_extension(
    implementation = _coreml_impl,
    doc = "The compiler, Python and libraries found on the machine, and the Python distributions of the locks.",
    tag_classes = {
        "executorch": tag_class(
            doc = "A build of ExecuTorch of yours in the place of the locked wheel's C++ libraries.",
            attrs = {
                "etdump": attr.label(doc = "Its event dump, which coreml_runner and tests need."),
                "kernels": attr.label(doc = "Its kernels for operators outside delegates, linked whole (alwayslink)."),
                "runtime": attr.label(mandatory = True, doc = "A cc_library with its headers, runtime and extension/module."),
            },
        ),
        "library": tag_class(
            doc = "A C++ library of yours that takes the place of the machine's.",
            attrs = {
                "name": attr.string(mandatory = True, values = LIBRARIES),
                "target": attr.label(mandatory = True, doc = "A cc_library."),
                "tool": attr.label(doc = "Its program: protoc for protobuf, flatc for flatbuffers, of the library's version."),
            },
        ),
        "openvino": tag_class(
            doc = "An OpenVINO of yours in the place of the locked wheel's.",
            attrs = {"library": attr.label(mandatory = True, doc = "A cc_library with its headers, library and CPU plugin.")},
        ),
        "python": tag_class(
            doc = "Python distributions of yours that take the place of the locked ones.",
            attrs = {
                "packages": attr.string_keyed_label_dict(
                    doc = "Name in third-party/pypi (PEP 503's, with `_` for `-` and `.`) -> a py_library, such as @pip//torch.",
                ),
            },
        ),
    },
)
