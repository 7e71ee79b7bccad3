"""How what travels is built: optimised, and with //third-party:static, whatever the build around it is."""

def _portable_impl(_settings, _attr):
    return {
        "//command_line_option:compilation_mode": "opt",
        "//third-party:static": True,
    }

portable_transition = transition(
    implementation = _portable_impl,
    inputs = [],
    outputs = [
        "//command_line_option:compilation_mode",
        "//third-party:static",
    ],
)
