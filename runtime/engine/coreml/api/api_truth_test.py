"""What the Core ML engine uses is Apple's API: every class, selector, enumerator and constant, and each only where the system has it.

The truth is apple_core_ml_api.json, which extract_api.py made of published metadata; nothing here trusts our own framework for GNUstep. Its
headers are one of the two things that are checked: the engine is compiled against them on Linux, with unknown members as errors, so it can use
no member that they do not declare. The other is the engine's text: what is newer than the oldest supported iOS stands inside an @available that names
a version new enough.
"""

from __future__ import annotations

import json
import pathlib
import re

import pytest

ROOT = pathlib.Path("runtime/engine/coreml")
API = json.loads((ROOT / "api" / "apple_core_ml_api.json").read_text(encoding="utf-8"))
IOS = API["ios"]
HEADERS = sorted((ROOT / "gnustep" / "include" / "CoreML").glob("*.h"))
ENGINE = sorted(p for suffix in ("*.mm", "*.h") for p in ROOT.glob(suffix) if "test" not in p.name)
OLDEST = (17, 0)  # MINIMUM_OS of tools/build_defs/apple.bzl.

# Declared by this framework and not in the typings: the typings leave out the C function and what NSObject has.
NOT_IN_TYPINGS = {"init", "new"}
# Members that several classes have, one of them old: their name alone says nothing of the version.
AMBIGUOUS = {"dataType", "shape", "type", "name", "init", "inputs", "outputs", "functions", "count", "description", "hash"}


def version(text: str | None) -> tuple[int, int]:
    """(17, 4) for "17.4"; what has no version was always there."""
    if not text:
        return (0, 0)
    parts = [int(p) for p in text.split(".")]
    return (parts[0], parts[1] if len(parts) > 1 else 0)


def without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*", lambda m: " " * len(m[0]), text)


def javascript_name(selector: str) -> str:
    first, *rest = [part for part in selector.split(":") if part]
    return first + "".join(part[0].upper() + part[1:] for part in rest)


def declarations(text: str) -> list[tuple[str, str, bool]]:
    """(class or protocol, member, whether a property) for everything that a header declares."""
    found = []
    text = without_comments(text)
    for match in re.finditer(r"@(?:interface|protocol) (\w+)[^\n]*\n(.*?)@end", text, re.DOTALL):
        name, body = match.groups()
        body = re.sub(r"^[^@+-]*?\{.*?^\}", "", body, count=1, flags=re.DOTALL | re.MULTILINE)
        for member in re.findall(r"@property\([^)]*\)[^;]*?(\w+)\s*;", body):
            found.append((name, member, True))
        for method in re.findall(r"^[+-] ?\([^;]*?;", body, re.DOTALL | re.MULTILINE):
            found.append((name, selector_of(method), False))
    return found


def selector_of(method: str) -> str:
    """The selector of a declaration, its types taken out."""
    text = method.strip(" ;\n")
    depth = 0
    flat = ""
    for character in text:
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif depth == 0:
            flat += character
    flat = re.sub(r"\bNS_\w+", "", flat).lstrip("+- ")
    parts = re.findall(r"(\w+)\s*:", flat)
    return ":".join(parts) + ":" if parts else re.findall(r"\w+", flat)[0]


ALL = [(header.name, *d) for header in HEADERS for d in declarations(header.read_text(encoding="utf-8"))]
CORE_ML = [d for d in ALL if d[1].startswith("ML")]


def test_the_headers_were_understood() -> None:
    selectors = {(c, m) for _, c, m, _ in CORE_ML}
    assert len(CORE_ML) > 100
    assert ("MLModel", "predictionFromFeatures:usingState:options:error:") in selectors
    assert ("MLMultiArray", "initWithDataPointer:shape:dataType:strides:deallocator:error:") in selectors
    assert ("MLPredictionOptions", "outputBackings") in selectors
    assert ("MLFeatureProvider", "featureValueForName:") in selectors


@pytest.mark.parametrize(("header", "owner", "member", "is_property"), CORE_ML, ids=[f"{c}.{m}" for _, c, m, _ in CORE_ML])
def test_a_member_exists_as_apple_publishes_it(header: str, owner: str, member: str, is_property: bool) -> None:
    assert owner in IOS["classes"], f"{header}: there is no {owner}"
    if member in NOT_IN_TYPINGS:
        return
    members = IOS["classes"][owner]["members"]
    name = javascript_name(member)
    # A property that only Objective-C spells with a getter of another name.
    candidates = [name, "is" + name[0].upper() + name[1:]]
    found = next((c for c in candidates if c in members), None)
    assert found is not None, f"{header}: {owner} has no {member}"
    if is_property:
        assert members[found]["property"], f"{header}: {owner}.{member} is a method"


def enumerators_of(text: str) -> dict[str, int]:
    values = {}
    for body in re.findall(r"NS_ENUM\(NSInteger, \w+\) \{(.*?)\};", without_comments(text), re.DOTALL):
        for name, value in re.findall(r"(\w+) = ([^,\n]+),", body):
            assert re.fullmatch(r"[0-9a-fA-Fx| ]+", value), value
            result = 0
            for part in value.split("|"):
                result |= int(part.strip(), 0)
            values[name] = result
    return values


def test_enumerators_have_apples_values() -> None:
    ours = {}
    for header in HEADERS:
        ours.update(enumerators_of(header.read_text(encoding="utf-8")))
    assert len(ours) > 35
    for name, value in ours.items():
        assert API["macos"]["enumerators"].get(name) == value, name
        owner = next(e for e in sorted(IOS["enums"], key=len, reverse=True) if name.startswith(e))
        assert IOS["enums"][owner]["values"].get(name[len(owner) :]) == value, name


def test_constants_and_functions_exist() -> None:
    for header in HEADERS:
        text = without_comments(header.read_text(encoding="utf-8"))
        for name in re.findall(r"extern NSString \*const (\w+);", text):
            assert name in IOS["constants"] and name in API["macos"]["constants"], name
        for name in re.findall(r"^NSArray \*(\w+)\(void\);", text, re.MULTILINE):
            assert name in API["macos"]["functions"], name


# --- What the engine is compiled against for Apple's systems (tests/portability) ---


def test_the_foundation_that_is_declared_is_apples() -> None:
    text = (ROOT / "api" / "foundation" / "Foundation" / "Foundation.h").read_text(encoding="utf-8")
    declared = declarations(re.sub(r"<[^<>\n]*>", "", text))
    properties = re.findall(r"@property\([^)]*\)[^;]*;", text)
    assert len(properties) >= 14 and len(declared) >= 28
    for owner, member, _ in declared:
        if owner == "NSFastEnumeration":
            continue
        assert owner in API["foundation"]["classes"], owner
        assert javascript_name(member) in API["foundation"]["classes"][owner], f"{owner}.{member}"
    for name in re.findall(r"^(?:extern NSString \*const|static const \w+) (\w+)", text, re.MULTILINE):
        assert name in API["foundation"]["constants"], name


# --- Availability ---


def guards(text: str) -> list[tuple[int, int, tuple[int, int]]]:
    """(begin, end, iOS version) of the text's parts that run on newer systems only: blocks after @available, declarations with API_AVAILABLE."""
    found = []
    for match in re.finditer(r"@available\([^)]*?iOS ([\d.]+)[^)]*\)\)\s*(\{?)", text):
        if match[2]:
            begin = match.end()
            depth, end = 1, begin
            while depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0)
                end += 1
        else:
            begin, end = match.end(), text.index(";", match.end())
        found.append((begin, end, version(match[1])))
    # NAME(...) API_AVAILABLE(... ios(X) ...); guards the declaration and the definition of NAME.
    for match in re.finditer(r"(\w+)\((?:[^()]|\([^()]*\))*\)\s*API_AVAILABLE\((?:[^;]*?)ios\(([\d.]+)\)[^;]*;", text):
        # With the type of its result, which stands in front of the name.
        found.append((text.rfind("\n\n", 0, match.start()), match.end(), version(match[2])))
        definition = re.compile(rf"^[^\n;]*\b{match[1]}\((?:[^()]|\([^()]*\))*\)\s*\{{", re.MULTILINE)
        for body in definition.finditer(text):
            end = text.index("\n}\n", body.end())
            found.append((body.start(), end, version(match[2])))
    return found


def newer_names() -> dict[str, tuple[int, int]]:
    """Identifiers that need more than the oldest system -> the version."""
    newer = {}
    for name, entry in IOS["classes"].items():
        if version(entry["since"]) > OLDEST:
            newer[name] = version(entry["since"])
    for name, entry in IOS["enums"].items():
        if version(entry["since"]) > OLDEST:
            for value in entry["values"]:
                newer[name + value] = version(entry["since"])
    old_members = {
        m for c in IOS["classes"].values() for m, e in c["members"].items() if version(e["since"] or c["since"]) <= OLDEST
    }
    for entry in IOS["classes"].values():
        for member, note in entry["members"].items():
            since = version(note["since"])
            if since > OLDEST and member not in old_members and member not in AMBIGUOUS:
                newer[member] = since
    # Values of older enumerations that came later, which the typings do not tell: Apple's pages for MLMultiArrayDataType, MLComputeUnits and MLFeatureType.
    newer["MLMultiArrayDataTypeFloat16"] = (16, 0)
    newer["MLComputeUnitsCPUAndNeuralEngine"] = (16, 0)
    newer["MLFeatureTypeState"] = (18, 0)
    return newer


NEWER = newer_names()


def messages(text: str) -> list[tuple[int, str]]:
    """(place, selector) of everything in brackets that can be a message, arguments left out."""
    found = []
    for begin in (m.start() for m in re.finditer(r"\[", text)):
        depth = 0
        flat = ""
        for character in text[begin:]:
            if character in "[({":
                depth += 1
            elif character in "])}":
                depth -= 1
                if depth == 0:
                    break
            if depth == 1:
                flat += character
            elif not flat.endswith("@"):
                flat += "@"
        flat = re.sub(r"\?[^:]*:", " ", flat) if "?" in flat else flat
        if parts := re.findall(r"(?<![:\w])(\w+)\s*:(?!:)", flat):
            found.append((begin, ":".join(parts) + ":"))
        elif last := re.search(r"[\w@)\]]\s+(\w+)\s*$|@\s*(\w+)\s*$", flat):
            found.append((begin, last[1] or last[2]))
    return found


def uses(text: str) -> list[tuple[int, str]]:
    """(place, name) of what is newer, classes and enumerators by name, members in messages by the selector that their parts make."""
    found = []
    for match in re.finditer(r"\bML\w+\b", text):
        if match[0] in NEWER:
            found.append((match.start(), match[0]))
    for match in re.finditer(r"\.(\w+)\b(?!\()", text):
        if match[1] in NEWER:
            found.append((match.start(), match[1]))
    for place, selector in messages(text):
        name = javascript_name(selector)
        if not name.startswith("ML") and name in NEWER:
            found.append((place, name))
    return found


@pytest.mark.parametrize("path", ENGINE, ids=[p.name for p in ENGINE])
def test_what_is_newer_stands_behind_a_check(path: pathlib.Path) -> None:
    text = without_comments(path.read_text(encoding="utf-8"))
    regions = guards(text)
    for place, name in uses(text):
        needed = NEWER[name]
        inside = [v for begin, end, v in regions if begin <= place < end]
        line = text.count("\n", 0, place) + 1
        assert any(v >= needed for v in inside), f"{path.name}:{line}: {name} needs iOS {needed[0]}.{needed[1]}"


def test_the_check_of_availability_sees_what_is_there() -> None:
    seen = {name for path in ENGINE for _, name in uses(without_comments(path.read_text(encoding="utf-8")))}
    assert {"MLState", "functionName", "MLComputePlan", "stateDescriptionsByName", "newState"} <= seen
    assert "predictionFromFeaturesUsingStateOptionsError" in seen
    assert "getMultiArrayForStateNamedHandler" in seen
    assert "loadContentsOfURLConfigurationCompletionHandler" not in seen, (
        "MLModel has it since iOS 14, MLComputePlan is seen by its name"
    )


def test_an_unguarded_use_is_found() -> None:
    text = "void f() {\n  if (@available(macOS 15.0, iOS 18.0, *)) {\n    a = x.functionName;\n  }\n  b = x.functionName;\n}\n"
    regions = guards(text)
    outside = [p for p, n in uses(text) if not any(b <= p < e and v >= NEWER[n] for b, e, v in regions)]
    assert [text.count("\n", 0, p) + 1 for p in outside] == [5]


def test_the_oldest_system_is_the_one_of_the_build() -> None:
    text = pathlib.Path("tools/build_defs/apple.bzl").read_text(encoding="utf-8")
    assert version(re.search(r'"ios": "([\d.]+)"', text)[1]) == OLDEST


def test_sources_are_named() -> None:
    assert API["sources"] == [
        "npm @nativescript/types-ios 9.1.2",
        "PyPI pyobjc-framework-coreml 12.2.2",
    ]
