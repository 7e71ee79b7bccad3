"""The XML file of a test, as Bazel and CI systems read it: $XML_OUTPUT_FILE."""

from __future__ import annotations

import dataclasses
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Case:
    """One row. failure: why it failed; empty if it passed."""

    suite: str
    name: str
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    failure: str = ""
    seconds: float = 0.0

    def failed(self, why: str, seconds: float = 0.0) -> Case:
        return dataclasses.replace(self, failure=why, seconds=seconds)

    def after(self, seconds: float) -> Case:
        return dataclasses.replace(self, seconds=seconds)


def write(cases: Sequence[Case]) -> None:
    """Writes the file that Bazel names; nothing without one."""
    path = os.environ.get("XML_OUTPUT_FILE")
    if not path:
        return
    failures = sum(1 for case in cases if case.failure)
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        root, "testsuite", name=cases[0].suite, tests=str(len(cases)), failures=str(failures), errors="0"
    )
    for case in cases:
        element = ElementTree.SubElement(suite, "testcase", classname=case.suite, name=case.name, time=f"{case.seconds:.3f}")
        if case.properties:
            properties = ElementTree.SubElement(element, "properties")
            for name, value in case.properties.items():
                ElementTree.SubElement(properties, "property", name=name, value=_text(value))
        if case.failure:
            failure = ElementTree.SubElement(element, "failure", message=_text(case.failure.splitlines()[0]))
            failure.text = _text(case.failure)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _text(value: Any) -> str:
    """A value without the characters that XML cannot hold."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in str(value))
