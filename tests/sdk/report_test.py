"""coreml report: what it says of a model with known faults, and that the page shows the numbers of its JSON."""

from __future__ import annotations

import json
import math
import pathlib
import re
from collections.abc import Iterator

import numpy as np
import pytest
import report_support
from executorch.backends.apple.coreml.sdk import command_line, report
from executorch.backends.apple.coreml.sdk.report import findings, layout
from PIL import Image

PROGRAMS = pathlib.Path("tests/end_to_end/testdata")
OURS = PROGRAMS / "sin_float32.pte"
STOCK = PROGRAMS / "stock_sin.pte"
STOCK_SHARED = PROGRAMS / "stock_shared_weights.pte"
# Bazel's runfiles are links; packages with links inside are refused.
PACKAGES = pathlib.Path("runtime/engine/cts/testdata/add.mlpackage/Manifest.json").resolve().parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return report_support.make_files(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def document(folder: pathlib.Path) -> dict:
    return report_support.make_document(folder)


def test_the_page_shows_the_numbers_of_the_json(document) -> None:
    page = report_support.Page(report.to_html(document))
    assert json.loads(page.data) == document
    report_support.assert_shows(page, document)


def test_the_page_needs_no_network_and_escapes_what_it_shows(document) -> None:
    text = report.to_html(document)
    page = report_support.Page(text)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert not re.search(r"https?://(?!www\.w3\.org)", re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.S))
    assert "a<b>" not in text
    assert "a&lt;b&gt;&amp;.pte" in text


def test_what_runs_where(document) -> None:
    assert [(s["kind"], s["package"]) for s in document["instructions"]] == [("delegate", 0), ("operator", None), ("delegate", 1)]
    (left,) = document["left"]
    assert left["operator"] == "aten::cumsum.out"
    assert left["count"] == 1
    assert left["code"]
    assert left["source"].endswith("return torch.tanh(torch.cumsum(large * 1e-6, 1)) + 1")
    assert document["summary"]["delegates"] == 2
    assert document["summary"]["operators_outside"] == 1
    # What the second delegate reads is not known without the operator.
    assert any("delegate 1" in remark for remark in document["remarks"])


def test_without_the_model_the_reason_is_not_invented(folder) -> None:
    (left,) = report.collect(folder / "a<b>&.pte", settings=report.Settings(executions=1))["left"]
    assert left["code"] == ""
    assert "does not say why" in left["reason"]


def test_times_add_up(document) -> None:
    time = document["time"]
    assert len(time["method"]) == 5
    assert time["operations"] == pytest.approx(sum(kind["seconds"] for kind in time["kinds"]))
    assert time["operations"] <= sum(time["engine"]) / 5 + len(document["operations"]) * 5e-6
    assert [item["name"] for item in time["outside"]] == ["cumsum.out"]


def test_values_beyond_float16_are_found_and_placed(document) -> None:
    beyond = [o for o in document["operations"] if o["range"] and o["range"]["overflows"]]
    assert beyond
    assert beyond[0]["type"] == "reduce_sum"
    assert beyond[0]["source"].endswith("large = (h * 3000).sum((2, 3))")
    assert document["findings"][0]["level"] == "bad"
    assert any("beyond float16" in f["text"] and "reduce_sum" in f["text"] for f in document["findings"])
    conv = next(o for o in document["operations"] if o["type"] == "conv")
    assert conv["range"]["overflows"] == 0
    assert conv["range"]["elements"] == 16 * 30 * 30
    assert 0 < conv["error"]["l2_relative"] < 2e-3
    assert conv["edge_op"].startswith("aten.conv")
    assert conv["debug_handles"]


def test_weights_by_type(document) -> None:
    weights = document["weights"]
    assert weights["by_type"]["float16"] >= 2 * (16 * 3 * 9 + 16)
    assert weights["total"] == sum(weights["by_type"].values())


def test_two_runs_compared(document, folder, tmp_path) -> None:
    earlier = json.loads(json.dumps(document))
    slowest = max((o for o in earlier["operations"] if o["seconds"]), key=lambda o: o["seconds"], default=earlier["operations"][0])
    slowest["seconds"] = (slowest["seconds"] or 0) + 0.5
    earlier["summary"]["p50_seconds"] *= 4
    (tmp_path / "before.json").write_text(json.dumps(earlier))
    settings = report.Settings(executions=3, compare=tmp_path / "before.json")
    compared = report.collect(folder / "a<b>&.pte", settings=settings)
    change = compared["compared"]["operations"][0]
    assert (change["name"], change["type"]) == (slowest["name"], slowest["type"])
    assert change["change"] < -0.4
    assert compared["compared"]["p50_before"] == earlier["summary"]["p50_seconds"]
    page = report_support.Page(report.to_html(compared))
    report_support.assert_shows(page, compared)
    assert "compared" in page.ids


@pytest.mark.parametrize("path", [OURS, STOCK, STOCK_SHARED, PACKAGES / "chain.mlpackage"])
def test_command_on_files_of_both_exporters(coreml, path, tmp_path) -> None:
    code, out, err = coreml("report", path, "-o", tmp_path / "r.html", "--plots", tmp_path / "plots", "--json", "-n", 2)
    assert code == 0, err
    document = json.loads(out)
    report_support.assert_shows(report_support.Page((tmp_path / "r.html").read_text()), document)
    assert document["operations"]
    for plot in (tmp_path / "plots").iterdir():
        with Image.open(plot) as image:
            assert image.width == 1400
    assert (tmp_path / "plots" / "ranges.png").exists()
    code, out, _ = coreml("report", path, "-o", tmp_path / "again.html", "-n", 1)
    assert code == 0
    assert f"-> {tmp_path / 'again.html'}" in out


def test_wrong_files_and_arguments(coreml, tmp_path) -> None:
    (tmp_path / "text.pte").write_text("this is no program at all, only text")
    (tmp_path / "cut.pte").write_bytes(STOCK.read_bytes()[: STOCK.stat().st_size // 2])
    (tmp_path / "bad.json").write_text("{}")
    target = ["-o", tmp_path / "r.html"]
    for arguments, words in (
        ([tmp_path / "missing.pte", *target], "there is no file"),
        ([tmp_path / "text.pte", *target], "neither a .pte"),
        ([tmp_path / "cut.pte", *target], "cut short"),
        ([OURS], "choose what to write"),
        ([OURS, *target, "-n", 0], "-n must be at least 1"),
        ([OURS, *target, "--compare", tmp_path / "bad.json"], "not a report of this version"),
        ([OURS, *target, "--compare", tmp_path / "none.json"], "cannot be read"),
        ([OURS, *target, "--reference", "nothing"], "has no known form"),
        ([STOCK, *target, "--method", "backward"], "has no method 'backward'"),
        ([OURS, "-o", tmp_path / "bad.json" / "r.html"], "cannot be written"),
    ):
        code, out, err = coreml("report", *arguments)
        assert (code, out) == (1, ""), arguments
        assert words in err
        assert "Traceback" not in err
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["report"])
    assert exit_.value.code == 2


def test_layout_puts_readers_below_and_nothing_on_top_of_each_other() -> None:
    rng = np.random.default_rng(0)
    operations = [
        {"id": i, "name": f"n{i}", "reads": [f"n{j}" for j in rng.choice(i, size=min(i, 2), replace=False)] if i else []}
        for i in range(60)
    ]
    found = layout.lay_out(operations)
    for source, target in found.edges:
        assert found.positions[source][1] + layout.NODE_HEIGHT < found.positions[target][1]
    places = list(found.positions.values())
    for index, (x, y) in enumerate(places):
        assert 0 <= x <= found.width - layout.NODE_WIDTH
        assert 0 <= y <= found.height - layout.NODE_HEIGHT
        assert all(abs(x - a) >= layout.NODE_WIDTH or abs(y - b) >= layout.NODE_HEIGHT for a, b in places[:index])


def test_numbers_that_json_cannot_hold_are_not_there(document) -> None:
    def leaves(value: object) -> Iterator[object]:
        if isinstance(value, dict):
            for inner in value.values():
                yield from leaves(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from leaves(inner)
        else:
            yield value

    assert all(math.isfinite(v) for v in leaves(document) if isinstance(v, float))
    assert findings.of(document) == document["findings"]
