"""The privacy manifest declares what the delegate uses of Apple's "required reason" API, and nothing else.

The names are those of https://developer.apple.com/documentation/bundleresources/describing-use-of-required-reason-api; looked for in the sources
that an Apple app links.
"""

from __future__ import annotations

import plistlib
import re

import pytest

from tools import source_tree

ROOT = source_tree.root()
MANIFEST = ROOT / "runtime/PrivacyInfo.xcprivacy"
# What an app links, without the engine of other systems and what only tests use.
FOLDERS = ("base", "blob", "inmemoryfs", "kvstore", "runtime")
LEFT_OUT = re.compile(
    r"_(test|fuzz|cts)\.|/testing_|/(cts|fake|portable|gnustep|runner|engine_c_api|testdata)/|engine/helper/(main|helper_program)"
)

CATEGORIES = {
    "NSPrivacyAccessedAPICategoryFileTimestamp": r"\b(f|l)?stat\s*\(|\bfstatat\s*\(|getattrlist|[mM]odificationDate|creationDate",
    "NSPrivacyAccessedAPICategoryDiskSpace": r"\bf?statv?fs\s*\(|volumeAvailableCapacity|volumeTotalCapacity|NSFileSystem(Free)?Size",
    "NSPrivacyAccessedAPICategorySystemBootTime": r"mach_absolute_time|systemUptime",
    "NSPrivacyAccessedAPICategoryUserDefaults": r"NSUserDefaults|CFPreferences",
    "NSPrivacyAccessedAPICategoryActiveKeyboards": r"activeInputModes",
}
# Apple's reasons of each category that the manifest has: what is in the app's own container; room before something is written.
REASONS = {"NSPrivacyAccessedAPICategoryFileTimestamp": ["C617.1"], "NSPrivacyAccessedAPICategoryDiskSpace": ["E174.1"]}


def used(text: str) -> set[str]:
    """The categories of what a source calls, its comments left out."""
    code = re.sub(r"//[^\n]*", "", text)
    return {category for category, pattern in CATEGORIES.items() if re.search(pattern, code)}


def test_what_is_declared_is_what_is_used() -> None:
    sources = [
        path
        for folder in FOLDERS
        for path in source_tree.files(ROOT / folder, ".cc", ".h", ".mm")
        if not LEFT_OUT.search(f"/{path.relative_to(ROOT)}")
    ]
    assert len(sources) > 100
    found = set().union(*(used(path.read_text(encoding="utf-8")) for path in sources))
    manifest = plistlib.loads(MANIFEST.read_bytes())
    declared = {
        entry["NSPrivacyAccessedAPIType"]: entry["NSPrivacyAccessedAPITypeReasons"]
        for entry in manifest["NSPrivacyAccessedAPITypes"]
    }
    assert declared == {category: REASONS[category] for category in found}
    assert (manifest["NSPrivacyTracking"], manifest["NSPrivacyTrackingDomains"], manifest["NSPrivacyCollectedDataTypes"]) == (
        False,
        [],
        [],
    )


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("if (::fstat(fd, &info) != 0)", "NSPrivacyAccessedAPICategoryFileTimestamp"),
        ("statvfs(path, &info)", "NSPrivacyAccessedAPICategoryDiskSpace"),
        ('[[NSUserDefaults standardUserDefaults] boolForKey:@"x"]', "NSPrivacyAccessedAPICategoryUserDefaults"),
        ("now = mach_absolute_time();", "NSPrivacyAccessedAPICategorySystemBootTime"),
    ],
)
def test_a_use_is_seen(code: str, category: str) -> None:
    assert used(code) == {category}
    assert used(f"// {code}") == set()
