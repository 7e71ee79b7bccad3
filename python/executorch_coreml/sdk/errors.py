"""The one error of the tools."""


class ToolError(Exception):
    """What a person asked for cannot be done. str() is one or two sentences: what failed, on which file, why, and what to do."""
