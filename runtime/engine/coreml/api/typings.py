"""Reads the types of the iOS typings (npm @nativescript/types-ios)."""

from __future__ import annotations


def split(text: str, separator: str = ",") -> list[str]:
    """The parts of `text` between separators that stand in no bracket."""
    parts, depth = [""], 0
    for character in text.replace("=>", "\0"):
        depth += {"(": 1, "<": 1, "[": 1, "{": 1, ")": -1, ">": -1, "]": -1, "}": -1}.get(character, 0)
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip().replace("\0", "=>") for part in parts if part.strip()]


def javascript_name(selector: str) -> str:
    """What the typings call a method: the parts of its selector, each after the first with a capital."""
    first, *rest = [part for part in selector.split(":") if part]
    return first + "".join(part[0].upper() + part[1:] for part in rest)
