"""coreml cache: looks at and clears a folder of compiled models."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
from pathlib import Path
from typing import Any

from executorch_coreml.sdk.commands.output import Output, size
from executorch_coreml.sdk.errors import ToolError

EXAMPLES = """\
  coreml cache stats FOLDER             what the folder holds
  coreml cache list FOLDER              every entry, most recently used first
  coreml cache verify FOLDER            compares every checksum; damaged entries that nobody uses are removed
  coreml cache evict FOLDER 3f9a        removes one entry, by the beginning of its name
  coreml cache shrink FOLDER 500000000  removes the least recently used until so many bytes are left
  coreml cache purge FOLDER             removes everything that nobody uses"""

_WITH_ARGUMENT = {"evict": "the beginning of an entry's name", "shrink": "a number of bytes"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("stats", "list", "verify", "evict", "shrink", "purge"), help="what to do; the examples show each"
    )
    parser.add_argument("folder", type=Path, help="the folder that the option cache_dir was set to")
    parser.add_argument("argument", nargs="?", help="; ".join(f"with {action}, {what}" for action, what in _WITH_ARGUMENT.items()))


def run(arguments: argparse.Namespace, output: Output) -> None:
    from executorch_coreml import runtime
    from executorch_coreml.runtime import cache

    wanted = _WITH_ARGUMENT.get(arguments.action)
    if (wanted is None) != (arguments.argument is None):
        raise ToolError(f"{arguments.action} takes {f'{wanted} after' if wanted else 'nothing but'} the folder")
    if not (arguments.folder / "coreml-delegate-1").is_dir():
        raise ToolError(f"{arguments.folder} is not a cache of compiled models: name the folder that cache_dir is set to")
    try:
        _act(cache, arguments, output)
    except runtime.DelegateError as error:
        raise ToolError(str(error)) from error


def _act(cache: Any, arguments: argparse.Namespace, output: Output) -> None:
    action, folder = arguments.action, arguments.folder
    if action == "stats":
        _show_stats(cache.stats(folder), output)
    elif action == "list":
        _show_entries(cache.list(folder), output)
    elif action == "verify":
        _show_verified(cache.verify(folder), output)
    elif action == "evict":
        _show_removed(cache.evict(arguments.argument, folder), output)
    elif action == "purge":
        _show_removed(cache.purge(folder), output)
    else:
        try:
            count = int(arguments.argument)
        except ValueError:
            count = -1
        if not 0 <= count < 1 << 63:
            raise ToolError(f"shrink takes a number of bytes, not {arguments.argument!r}")
        _show_removed(cache.evict_to(count, folder), output)


def _show_stats(stats: Any, output: Output) -> None:
    if output.as_json:
        # The rest is of this process, or of the folder's users.
        names = ("folder", "mode", "mode_reason", "entries", "bytes", "free_bytes", "damaged")
        output.value({name: getattr(stats, name) for name in names})
        return
    reason = f": {stats.mode_reason}" if stats.mode_reason else ""
    rows: list[tuple[str, ...]] = [
        ("folder", stats.folder),
        ("mode", stats.mode + reason),
        ("entries", str(stats.entries)),
        ("size", size(stats.bytes)),
        ("free", size(stats.free_bytes)),
    ]
    output.table(rows)


def _show_entries(entries: Any, output: Output) -> None:
    if output.as_json:
        output.value([dataclasses.asdict(entry) for entry in entries])
        return
    rows: list[tuple[str, ...]] = [
        (
            entry.name[:14],
            size(entry.bytes),
            datetime.datetime.fromtimestamp(entry.last_used_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "yes" if entry.is_in_use else "no",
            entry.content[:14],
            # What is too long for a line is in the JSON only.
            ", ".join(f"{name} {value}" for name, value in sorted(entry.attributes.items()) if 0 < len(value) <= 40),
        )
        for entry in entries
    ]
    header = ("name", "size", "last used (UTC)", "in use", "model", "compiled for")
    output.table(rows, header=header, right=(1,))


def _show_removed(removed: Any, output: Output) -> None:
    if output.as_json:
        output.value(dataclasses.asdict(removed))
        return
    output.line(f"removed {removed.entries} entries ({size(removed.bytes)}); {removed.in_use} stayed, being in use")


def _show_verified(verified: Any, output: Output) -> None:
    if output.as_json:
        output.value(dataclasses.asdict(verified))
    else:
        output.line(f"verified {verified.entries} entries ({size(verified.bytes)}), {len(verified.damaged)} damaged")
        for message in verified.damaged:
            output.line(f"  {message}")
    if verified.damaged:
        raise ToolError(f"{len(verified.damaged)} damaged entries were found")
