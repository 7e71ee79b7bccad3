"""Apple platforms: the one place for their names and for the oldest systems that are supported."""

# The oldest systems that the delegate is built for: those of ExecuTorch 1.5's own frameworks, of which there are none for tvOS and watchOS.
# Newer API is behind @available, and so is what came after iOS 15, from which on the engine itself runs.
MINIMUM_OS = {
    "ios": "17.0",
    "macos": "12.0",
    "tvos": "15.0",
    "watchos": "8.0",
}

# Constraints of @platforms. `osx` is the name that every Bazel from 4.2.3 on has for macOS.
APPLE_OS = ["ios", "osx", "tvos", "watchos"]

# It declares settings with names of their own, so a name of its own would say nothing.
# buildifier: disable=unnamed-macro
def apple_config_settings():
    """Declares what select_apple() asks. Bazel 4 does not take a constraint itself as a condition in an alias."""
    for os in APPLE_OS + ["linux"]:
        native.config_setting(
            name = "os_" + os,
            constraint_values = ["@platforms//os:" + os],
            visibility = ["//visibility:public"],
        )

def select_apple(apple, otherwise):
    """`apple` on Apple's platforms, `otherwise` everywhere else; both are values of one attribute."""
    branches = {str(Label("//tools/build_defs:os_" + os)): apple for os in APPLE_OS}
    branches["//conditions:default"] = otherwise
    return select(branches)
