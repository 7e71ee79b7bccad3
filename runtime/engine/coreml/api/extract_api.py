"""Writes apple_core_ml_api.json: Core ML's API as it is published in machine-readable form.

    npm pack @nativescript/types-ios@9.1.2
    pip download --no-deps --only-binary :all: --platform macosx_10_13_universal2 --python-version 3.12 pyobjc-framework-coreml==12.2.2
    python runtime/engine/coreml/api/extract_api.py nativescript-types-ios-9.1.2.tgz pyobjc_framework_coreml-12.2.2-*.whl

The first has every class, member, enumerator and constant of the iOS SDK with its types and the version that brought it; the second has the values of
macOS's enumerators, its constants and functions, and whole selectors of methods that are not plain (those with a handler or an error). Members are named
in the first as in JavaScript (typings.py). Of Foundation's classes that foundation/ declares it has the members' names.
"""

from __future__ import annotations

import ast
import json
import pathlib
import re
import sys
import tarfile
import zipfile

from typings import split

TYPINGS = "package/lib/ios/objc-x86_64/objc!{}.d.ts"
# What foundation/Foundation/Foundation.h declares.
FOUNDATION = (
    "NSArray",
    "NSBundle",
    "NSDictionary",
    "NSError",
    "NSException",
    "NSFileManager",
    "NSMutableArray",
    "NSMutableDictionary",
    "NSNumber",
    "NSProcessInfo",
    "NSSet",
    "NSString",
    "NSURL",
    "NSValue",
)
FOUNDATION_CONSTANTS = ("NSPOSIXErrorDomain", "NSUTF8StringEncoding", "NSUnderlyingErrorKey")
TARGET = pathlib.Path(__file__).parent / "apple_core_ml_api.json"


def types_of(text: str, is_property: bool) -> dict:
    """What stands behind a member's name: `: TYPE;` or `(name: TYPE, ...): TYPE;`."""
    text = re.sub(r";\s*(//.*)?$", "", text)
    if is_property:
        return {"type": text.removeprefix(":").strip()}
    depth = end = 0
    while depth or not end:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    end -= 1
    parameters = [parameter.partition(":")[2].strip() for parameter in split(text[1:end])]
    return {"parameters": parameters, "type": text[end + 1 :].removeprefix(":").strip()}


def names_of_foundation(text: str) -> dict:
    """Class -> its members' names; the constants."""
    api = parse_typings(text)
    return {
        "classes": {name: sorted(api["classes"][name]["members"]) for name in FOUNDATION if name in api["classes"]},
        "constants": sorted(
            name for name in re.findall(r"^declare (?:var|const) (\w+):", text, re.MULTILINE) if name in FOUNDATION_CONSTANTS
        ),
    }


def parse_typings(text: str) -> dict:
    """Classes and protocols with their members, enumerations with their values, constants; each with the iOS version it came with."""
    api: dict = {"classes": {}, "enums": {}, "constants": {}}
    since = None  # Of the comment in front of the present line.
    members: dict | None = None  # Of the declaration that the present line is in.
    values: dict | None = None
    for line in text.splitlines():
        if found := re.search(r"@since ([\d.]+)", line):
            since = found[1]
        elif found := re.match(r"declare var (\w+): string;", line):
            api["constants"][found[1]] = {"since": since}
            since = None
        elif found := re.match(r"declare const enum (\w+)", line):
            values = {}
            api["enums"][found[1]] = {"since": since, "values": values}
            since = None
        elif found := re.match(
            r"(declare class|interface) (\w+)(?:<[^>]*>)?(?: extends (\w+))?[^{]*?(?: implements ([^{]+))?\{", line
        ):
            members = {}
            api["classes"][found[2]] = {
                "since": since,
                "members": members,
                "protocol": found[1] == "interface",
                "base": found[3] or "",
                "protocols": split(found[4] or ""),
            }
            since = None
        elif line.startswith("}"):
            members = values = since = None
        elif values is not None and (found := re.match(r"\t(\w+) = (-?\d+)", line)):
            values[found[1]] = int(found[2])
        elif members is not None and (found := re.match(r"\t((?:static |readonly )*)(\w+)(?:<[^>(]*>)?\??([(:])", line)):
            if found[2] != "constructor":
                members[found[2]] = {
                    "since": since,
                    "property": found[3] == ":",
                    "readonly": "readonly" in found[1],
                    "static": "static" in found[1],
                    # From NSObject; a protocol's are the class's own.
                    "inherited": "inherited from NSObject" in line,
                    **types_of(line[found.end() - 1 :], found[3] == ":"),
                }
            since = None
    return api


def parse_metadata(text: str) -> dict:
    """The enumerators, constants and functions of pyobjc's module `_metadata`, which is read, not run."""
    values = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id in ("constants", "enums") and isinstance(node.value, ast.Constant):
                values[node.targets[0].id] = [entry for entry in node.value.value.split("$") if entry]
            elif node.targets[0].id == "functions" and isinstance(node.value, ast.Dict):
                values["functions"] = sorted(key.value for key in node.value.keys)
    selectors: dict[str, list[str]] = {}
    for owner, selector in re.findall(r"^ +b\"(\w+)\",\s+b\"([\w:]+)\",", text, re.MULTILINE):
        selectors.setdefault(owner, []).append(selector)
    enumerators = dict(entry.split("@") for entry in values["enums"])
    return {
        "enumerators": {name: int(value) for name, value in sorted(enumerators.items())},
        "constants": sorted(values["constants"]),
        "functions": values["functions"],
        "selectors": {owner: sorted(found) for owner, found in sorted(selectors.items())},
    }


def main() -> None:
    typings, metadata = sys.argv[1:3]
    with tarfile.open(typings) as archive:
        ios = parse_typings(archive.extractfile(TYPINGS.format("CoreML")).read().decode())
        foundation = names_of_foundation(archive.extractfile(TYPINGS.format("Foundation")).read().decode())
        version = json.load(archive.extractfile("package/package.json"))["version"]
    with zipfile.ZipFile(metadata) as archive:
        macos = parse_metadata(archive.read("CoreML/_metadata.py").decode())
    table = {
        "sources": [
            f"npm @nativescript/types-ios {version}",
            f"PyPI pyobjc-framework-coreml {pathlib.Path(metadata).name.split('-')[1]}",
        ],
        "foundation": foundation,
        "ios": ios,
        "macos": macos,
    }
    TARGET.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{TARGET}: {len(ios['classes'])} classes, {len(ios['enums'])} enumerations")


if __name__ == "__main__":
    main()
