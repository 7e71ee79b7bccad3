"""Writes <CoreML/CoreML.h> from apple_core_ml_api.json, for compiling the engine where there is no SDK.

    apple_headers.py apple_core_ml_api.json CoreML.h

Every declaration is Apple's as it is published: members, types and the versions of iOS from the typings, whole selectors from pyobjc. What our own framework
for GNUstep declares has no part in it. The versions of the other systems follow from that of iOS: an SDK brings new API to all of them at once. Left out are
members whose types are of other frameworks, and those of several parameters that pyobjc has not.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import Any

from typings import javascript_name, split

# iOS -> what was released with it. https://developer.apple.com/documentation/xcode-release-notes, the SDKs of each Xcode.
_RELEASED_WITH = {
    "11.0": {"macos": "10.13", "watchos": "4.0"},
    "11.2": {"macos": "10.13.2", "watchos": "4.2"},
    "12.0": {"macos": "10.14", "watchos": "5.0"},
    "13.0": {"macos": "10.15", "watchos": "6.0"},
    "14.0": {"macos": "11.0", "watchos": "7.0"},
    "15.0": {"macos": "12.0", "watchos": "8.0"},
    "15.4": {"macos": "12.3", "watchos": "8.5"},
    "16.0": {"macos": "13.0", "watchos": "9.0"},
    "17.0": {"macos": "14.0", "watchos": "10.0"},
    "17.4": {"macos": "14.4", "watchos": "10.4"},
    "18.0": {"macos": "15.0", "watchos": "11.0"},
}
# What macOS had earlier, as Apple's pages say.
_EARLIER_ON_MACOS = {"MLPredictionOptions.outputBackings": "11.0", "MLMultiArrayDataTypeFloat16": "12.0"}
# Enumerators that came later than their enumeration, of which the typings say nothing: Apple's pages of the three.
_LATER_ENUMERATORS = {
    "MLComputeUnitsCPUAndNeuralEngine": "16.0",
    "MLFeatureTypeState": "18.0",
    "MLMultiArrayDataTypeFloat16": "16.0",
}
# Of handlers that get memory to read: the typings have no `const`. Apple's page of MLMultiArray.
_HANDLERS_THAT_READ = {"getBytesWithHandler:"}
# The typings have one type for all numbers: those that are no NSInteger. Apple's pages.
_DOUBLES = {"weight", "doubleValue", "featureValueWithDouble:"}
_INT64S = {"int64Value", "featureValueWithInt64:"}

_FOUNDATION = ("NSArray", "NSDictionary", "NSError", "NSNumber", "NSRange", "NSSet", "NSString", "NSURL", "NSValue")
_SIMPLE = {
    "NSRange": "NSRange",
    "any": "id",
    "boolean": "BOOL",
    "interop.Reference<NSError>": "NSError **",
    "number": "NSNumber *",
    "string": "NSString *",
    "this": "instancetype",
    "void": "void",
}


class UnknownTypeError(Exception):
    """A type of a framework that is not declared here."""


def availability(name: str, ios: str | None) -> str:
    """The attribute of what came with a version of iOS; nothing for what was always there."""
    if not ios:
        return ""
    others = {"macos": _RELEASED_WITH[ios]["macos"], "tvos": ios, "watchos": _RELEASED_WITH[ios]["watchos"]}
    others["macos"] = _EARLIER_ON_MACOS.get(name, others["macos"])
    return f" API_AVAILABLE(ios({ios}), " + ", ".join(f"{system}({version})" for system, version in others.items()) + ")"


class Headers:
    def __init__(self, api: dict[str, Any]):
        self.ios = api["ios"]
        self.selectors = api["macos"]["selectors"]

    def type_of(self, typed: str, selector: str, *, in_container: bool = False) -> str:
        """The Objective-C type of a typing in the member `selector`."""
        typed = re.sub(r"/\*.*?\*/|\s*\| null", "", typed).strip()
        if found := re.fullmatch(r"\((.*)\) => void", typed):
            arguments = [self.type_of(part.partition(":")[2], selector) for part in split(found[1])]
            return f"void (^)({', '.join(arguments) or 'void'})"
        typed = split(typed, "|")[0]
        if found := re.fullmatch(r"(\w+)<(.*)>", typed):
            inner = [self.type_of(part, selector, in_container=True) for part in split(found[2])]
            if found[1] not in _FOUNDATION:
                raise UnknownTypeError(typed)
            return f"{found[1]}<{', '.join(inner)}> *"
        if typed == "number" and not in_container:
            return "double" if selector in _DOUBLES else "int64_t" if selector in _INT64S else "NSInteger"
        if typed == "interop.Pointer":
            return "const void *" if selector in _HANDLERS_THAT_READ else "void *"
        if typed in _SIMPLE:
            return _SIMPLE[typed]
        if typed in self.ios["enums"]:
            return typed
        if typed in self.ios["classes"]:
            return f"id<{typed}>" if self.ios["classes"][typed]["protocol"] else f"{typed} *"
        if typed in _FOUNDATION:
            return f"{typed} *"
        raise UnknownTypeError(typed)

    def selector(self, owner: str, name: str, member: dict[str, Any]) -> str | None:
        """The whole selector of a method, None where neither source tells where its parts end."""
        count = len(member["parameters"])
        if count < 2:
            return name + ":" * count
        return next((s for s in self.selectors.get(owner, []) if javascript_name(s) == name and s.count(":") == count), None)

    def member(self, owner: str, name: str, typed: dict[str, Any]) -> str | None:
        mark = availability(f"{owner}.{name}", typed["since"])
        if typed["property"]:
            kind = self.type_of(typed["type"], name)
            notes = ["class"] if typed["static"] else []
            notes += ["readonly"] if typed["readonly"] else ["retain"] * (kind == "id" or kind.endswith(("*", ">")))
            noted = f"({', '.join(notes)})" if notes else ""
            return f"@property{noted} {kind} {name}{mark};"
        selector = self.selector(owner, name, typed)
        if selector is None:
            return None
        result = self.type_of(typed["type"], selector)
        arguments = [
            f"{part}:({self.type_of(parameter, selector)})a{i}"
            for i, (part, parameter) in enumerate(zip(selector.split(":"), typed["parameters"], strict=False))
        ]
        return f"{'+' if typed['static'] else '-'} ({result}){' '.join(arguments) or selector}{mark};"

    def owner(self, name: str) -> str:
        """A class or a protocol."""
        typed = self.ios["classes"][name]
        lines = []
        for member, note in sorted(typed["members"].items()):
            if note["inherited"]:
                continue
            try:
                lines.append(self.member(name, member, note))
            except UnknownTypeError:
                continue
        mark = availability(name, typed["since"]).strip()
        protocols = [p for p in typed["protocols"] if self.ios["classes"].get(p, {}).get("protocol")]
        adopted = f" <{', '.join(protocols)}>" if protocols else ""
        if typed["protocol"]:
            head = f"{mark}\n@protocol {name} <NSObject>"
        else:
            head = f"{mark}\n@interface {name} : {typed['base']}{adopted}"
        return "\n".join([head.strip(), *filter(None, lines), "@end\n"])

    def enumeration(self, name: str) -> str:
        typed = self.ios["enums"][name]
        lines = [f"enum{availability(name, typed['since'])} {name} : NSInteger {{"]
        for value, number in sorted(typed["values"].items()):
            mark = availability(name + value, _LATER_ENUMERATORS.get(name + value))
            lines.append(f"  {name}{value}{mark} = {number},")
        return "\n".join([*lines, "};\n"])

    def text(self) -> str:
        owners = sorted(self.ios["classes"])
        protocols = [name for name in owners if self.ios["classes"][name]["protocol"]]
        classes = [name for name in owners if name not in protocols]
        # A class behind the one that it extends.
        classes.sort(key=lambda name: self.ios["classes"][name]["base"] != "NSObject")
        enums = sorted(self.ios["enums"])
        constants = [
            f"extern NSString *const {name}{availability(name, note['since'])};" for name, note in self.ios["constants"].items()
        ]
        return "\n".join([
            "// Written by apple_headers.py.",
            "#include <Foundation/Foundation.h>\n",
            *(f"@class {name};" for name in classes),
            *(f"@protocol {name};" for name in protocols),
            "",
            *constants,
            "",
            *map(self.enumeration, enums),
            *map(self.owner, protocols + classes),
        ])  # fmt: skip


def main() -> None:
    source, target = map(pathlib.Path, sys.argv[1:3])
    target.write_text(Headers(json.loads(source.read_text(encoding="utf-8"))).text(), encoding="utf-8")


if __name__ == "__main__":
    main()
