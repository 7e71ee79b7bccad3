"""Foundation for Linux: GNUstep's base library with GCC's Objective-C runtime and a blocks runtime, found on the machine.

The repository is empty away from Linux, where Foundation belongs to the system.
"""

load("//third-party:missing.bzl", "MISSING", "write_missing_repository")

_BUILD = """load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])

exports_files(["missing.txt"])

cc_library(
    name = "foundation",
    hdrs = glob([
        "include/*/**/*.h",
        "include/Block.h",
    ]),
    includes = ["include"],
    linkopts = [
        # In front of libgnustep-base, which has a _Block_copy of its own that leaves blocks on the stack.
        "-lBlocksRuntime",
        "-lgnustep-base",
        "-lobjc",
        "-lpthread",
    ],
)
"""

# Folders of GNUstep's own headers; the rest of a distribution's GNUstep folder (AppKit) is left out.
_GNUSTEP_FOLDERS = ["Foundation", "CoreFoundation", "GNUstepBase"]

_DEBIAN = "Debian: apt-get install libgnustep-base-dev libobjc-12-dev libblocksruntime-dev"

def _runtime_headers(repository_ctx):
    """GCC's folder `objc`, of the newest GCC that has one."""
    found = None
    newest = -1
    for base in ["/usr/lib/gcc", "/usr/lib64/gcc"]:
        if not repository_ctx.path(base).exists:
            continue
        for triple in repository_ctx.path(base).readdir():
            for version in triple.readdir():
                number = version.basename.split(".")[0]
                folder = version.get_child("include").get_child("objc")
                if number.isdigit() and int(number) > newest and folder.get_child("objc.h").exists:
                    found = folder
                    newest = int(number)
    return found

def _gnustep_repository_impl(repository_ctx):
    repository_ctx.file("WORKSPACE", "", executable = False)
    repository_ctx.file(MISSING, "", executable = False)
    if "linux" not in repository_ctx.os.name.lower():
        repository_ctx.file("BUILD.bazel", "# Foundation is the system's.\nexports_files([\"missing.txt\"])\n", executable = False)
        return

    # /usr/include/x86_64-linux-gnu/GNUstep on newer Debians.
    machine = repository_ctx.execute(["uname", "-m"]).stdout.strip()
    home = None
    for folder in ["/usr/include/GNUstep", "/usr/include/{}-linux-gnu/GNUstep".format(machine), "/usr/local/include/GNUstep"]:
        if repository_ctx.path(folder + "/Foundation/Foundation.h").exists:
            home = folder
            break
    runtime = _runtime_headers(repository_ctx)
    missing = None
    if not home:
        missing = "GNUstep's Foundation/Foundation.h"
    elif not runtime:
        missing = "GCC's Objective-C headers (objc/objc.h)"
    elif not repository_ctx.path("/usr/include/Block.h").exists:
        missing = "Block.h"
    if missing:
        write_missing_repository(repository_ctx, "{} not found. {}".format(missing, _DEBIAN), libraries = ["foundation"])
        return

    for folder in _GNUSTEP_FOLDERS:
        if repository_ctx.path("{}/{}".format(home, folder)).exists:
            repository_ctx.symlink("{}/{}".format(home, folder), "include/" + folder)
    for header in runtime.readdir():
        repository_ctx.symlink(header, "include/objc/" + header.basename)

    # GNUstep asks for this name when the compiler has blocks.
    repository_ctx.file("include/objc/blocks_runtime.h", "#include <Block.h>\n", executable = False)
    repository_ctx.symlink("/usr/include/Block.h", "include/Block.h")
    repository_ctx.file("BUILD.bazel", _BUILD, executable = False)

gnustep_repository = repository_rule(
    implementation = _gnustep_repository_impl,
    doc = "Target `foundation`: the headers (as links, so that they are declared inputs) and link flags of GNUstep base.",
    local = True,
)
