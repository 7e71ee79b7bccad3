"""For the tests of reports: a program with known faults, and what a report's page shows, read from its HTML."""

from __future__ import annotations

import html.parser
import pathlib

import coremltools as ct
import pytest
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.sdk import report
from executorch.backends.apple.coreml.sdk.report import numbers
from executorch.exir import to_edge_transform_and_lower


class Model(torch.nn.Module):
    """Two delegates around an operator that is left outside, a value beyond float16, and a name that HTML must escape."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.sigmoid(self.conv(x))
        large = (h * 3000).sum((2, 3))
        return torch.tanh(torch.cumsum(large * 1e-6, 1)) + 1


EXAMPLE = (torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32),)


def make_files(folder: pathlib.Path) -> pathlib.Path:
    """Writes the model (model.pt2), its program (a<b>&.pte) and the partitioner's report (partition.json)."""
    torch.manual_seed(0)
    module = Model().eval()
    torch.export.save(torch.export.export(module, EXAMPLE), folder / "model.pt2")
    specs = CoreMLBackend.generate_compile_specs(compute_precision=ct.precision.FLOAT16)
    partitioner = CoreMLPartitioner(compile_specs=specs, skip_ops_for_coreml_delegation=["aten.cumsum.default"])
    lowered = to_edge_transform_and_lower(torch.export.export(module, EXAMPLE), partitioner=[partitioner])
    (folder / "a<b>&.pte").write_bytes(bytes(lowered.to_executorch().buffer))
    (folder / "partition.json").write_text(partitioner.report.to_json())
    return folder


def make_document(folder: pathlib.Path) -> dict:
    """The report on what make_files() wrote."""
    settings = report.Settings(executions=5, reference=str(folder / "model.pt2"), partition_report=folder / "partition.json")
    return report.collect(folder / "a<b>&.pte", settings=settings)


class Page(html.parser.HTMLParser):
    """The marked numbers, the data and what a page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.numbers: list[tuple[str, str, str]] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.data = ""
        self._marked: tuple[str, str] | None = None
        self._is_data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        self.links += [found[name] or "" for name in ("href", "src") if name in found]
        if "data-path" in found:
            self._marked = (found["data-path"] or "", found["data-form"] or "")
        self._is_data = tag == "script" and found.get("id") == "data"

    def handle_data(self, data: str) -> None:
        if self._marked is not None:
            self.numbers.append((*self._marked, data))
            self._marked = None
        if self._is_data:
            self.data += data

    def handle_endtag(self, tag: str) -> None:
        self._is_data = False


def assert_shows(page: Page, document: dict) -> None:
    """Every number of the page is that of the JSON, to the digits that are shown."""
    # One of a program whose only operation takes less than the microsecond that counters know shows fewest.
    assert len(page.numbers) >= 12
    for path, form, text in page.numbers:
        value = numbers.at(document, path)
        assert text == numbers.FORMATS[form](value), path
        if form == "ms":
            assert float(text.removesuffix(" ms").replace(",", "")) == pytest.approx(value * 1e3, abs=5.1e-4)
        elif form == "sci":
            assert float(text) == pytest.approx(value, rel=6e-3)
        elif form == "count":
            assert int(text.replace(",", "")) == value
