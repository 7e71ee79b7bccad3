"""apple/ and CMakeLists.txt name what there is: they are for a Mac, and nobody runs them here."""

from __future__ import annotations

import ast
import plistlib
import re

import pytest

from tools import source_tree

ROOT = source_tree.root()
APPLE = ROOT / "apple"
BUILD = (APPLE / "BUILD.bazel").read_text(encoding="utf-8")
PACKAGE = (APPLE / "Package.swift").read_text(encoding="utf-8")


def oldest(system: str) -> str:
    text = (ROOT / "tools/build_defs/apple.bzl").read_text(encoding="utf-8")
    return re.search(rf'"{system}": "([\d.]+)"', text)[1]


def test_the_package_is_for_the_oldest_ios() -> None:
    assert re.findall(r"\.iOS\(\"([\d.]+)\"\)", PACKAGE) == [oldest("ios")]


def test_the_package_takes_the_framework_that_bazel_makes() -> None:
    (target,) = [
        call
        for call in ast.walk(ast.parse(BUILD))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "apple_static_xcframework"
    ]
    given = {
        keyword.arg: ast.literal_eval(keyword.value)
        for keyword in target.keywords
        if keyword.arg in ("name", "bundle_name", "avoid_deps")
    }
    assert given == {"name": "coremldelegate", "bundle_name": "coremldelegate", "avoid_deps": [":executorch"]}
    assert '.binaryTarget(name: "coremldelegate", path: "coremldelegate.xcframework")' in PACKAGE
    assert (APPLE / "Sources/CoreMLDelegate/CoreMLDelegate.swift").read_text(
        encoding="utf-8"
    ) == "@_exported import coremldelegate\n"


def test_the_package_links_what_the_delegate_takes() -> None:
    """The libraries beside ExecuTorch's of ios_link_test, but libSystem and libobjc, which every program has."""
    assert set(re.findall(r"\.linked(?:Library|Framework)\(\"([\w+]+)\"\)", PACKAGE)) == {"CoreML", "Foundation", "c++", "sqlite3"}
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert '"-framework CoreML" "-framework Foundation" sqlite3' in text


def test_the_privacy_manifest_is_the_delegates() -> None:
    manifest = APPLE / "Sources/CoreMLDelegate/PrivacyInfo.xcprivacy"
    assert manifest.is_symlink()
    assert manifest.resolve() == (ROOT / "runtime/PrivacyInfo.xcprivacy").resolve()


def test_labels_of_the_delegate_exist() -> None:
    labels = set(re.findall(r'"@coreml_delegate//([^"]*):([^"]+)"', BUILD))
    assert len(labels) >= 5
    for package, name in labels:
        text = (ROOT / package / "BUILD.bazel").read_text(encoding="utf-8")
        assert f'"{name}"' in text, f"//{package}:{name}"


@pytest.mark.parametrize("key", ["CFBundleName", "CFBundleVersion", "CFBundleShortVersionString"])
def test_the_app_has_a_property_list(key: str) -> None:
    assert plistlib.loads((APPLE / "app/Info.plist").read_bytes())[key]


def test_nobody_else_resolves_the_module() -> None:
    assert "apple" in (ROOT / ".bazelignore").read_text(encoding="utf-8").splitlines()
    assert "rules_apple" not in (ROOT / "MODULE.bazel").read_text(encoding="utf-8")
