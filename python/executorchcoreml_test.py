"""The extension module, against the stock one of the executorch wheel: each reads what the other writes."""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import threading
import types

import pytest
from executorch.backends.apple.coreml import executorchcoreml as ours

GOLDEN = pathlib.Path(os.environ["TEST_SRCDIR"]) / os.environ["TEST_WORKSPACE"] / "blob/testdata/golden"


def _stock_path() -> str:
    for folder in sys.path:
        found = sorted(pathlib.Path(folder).glob("executorch/backends/apple/coreml/executorchcoreml.cpython-*.so"))
        if found:
            return str(found[0])
    raise AssertionError("the executorch wheel's executorchcoreml is not on the path")


def _load_stock() -> types.ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("executorchcoreml", _stock_path())
    spec = importlib.util.spec_from_loader("executorchcoreml", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


stock = _load_stock()

# No empty file: the stock module crashes on one.
FILES = {
    "metadata.json": b'{"inputNames": ["x"]}',
    "model.mlpackage/Manifest.json": b"{}",
    "model.mlpackage/Data/com.apple.CoreML/model.mlmodel": b'}{"\\ spec',
    "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin": bytes(range(256)) * 40,
    "gr\u00fc\u00df.txt": b"name",
}


def write(root: pathlib.Path, files: dict[str, bytes] = FILES) -> pathlib.Path:
    root.mkdir(parents=True)
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def read(root: pathlib.Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def errors(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.levelname == "ERROR")


def test_it_is_ours_that_is_imported() -> None:
    assert ours.__file__ is not None
    assert ours.__file__ != stock.__file__
    assert "cpython" not in ours.__file__


@pytest.mark.parametrize("writer", [ours, stock], ids=["ours", "stock"])
@pytest.mark.parametrize("reader", [ours, stock], ids=["ours", "stock"])
def test_each_reads_what_the_other_writes(tmp_path: pathlib.Path, writer: types.ModuleType, reader: types.ModuleType) -> None:
    root = write(tmp_path / "lowered_module")
    (root / "empty folder").mkdir()
    flattened = writer.flatten_directory_contents(str(root))
    assert isinstance(flattened, bytes)
    target = tmp_path / "target"
    target.mkdir()
    assert reader.unflatten_directory_contents(flattened, str(target)) is True
    assert sorted(p.name for p in target.iterdir()) == ["lowered_module"]
    assert read(target / "lowered_module") == FILES
    assert (target / "lowered_module/empty folder").is_dir()


@pytest.mark.parametrize("name", ["stock_single.bin", "stock_methods.bin", "stock_compiled.bin"])
def test_goldens_of_the_stock_module(tmp_path: pathlib.Path, name: str) -> None:
    assert ours.unflatten_directory_contents((GOLDEN / name).read_bytes(), tmp_path)
    metadata = json.loads((tmp_path / "lowered_module/metadata.json").read_text())
    assert metadata["identifier"].startswith("executorch_")


@pytest.mark.parametrize("name", ["v1_1_both.cmlb", "v1_1_both_python.cmlb"])
@pytest.mark.parametrize("reader", [ours, stock], ids=["ours", "stock"])
def test_a_blob_for_both_runtimes_is_read(tmp_path: pathlib.Path, reader: types.ModuleType, name: str) -> None:
    assert reader.unflatten_directory_contents((GOLDEN / name).read_bytes(), str(tmp_path)) is True
    found = read(tmp_path / "lowered_module")
    assert found.keys() == {
        "metadata.json",
        "debug_info.json",
        "model.mlpackage/Manifest.json",
        "model.mlpackage/Data/com.apple.CoreML/model.mlmodel",
        "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
        "model.mlpackage/Data/com.apple.CoreML/weights/empty.bin",
        "model.mlpackage/Data/executorch/cache.bin",
    }
    assert found["model.mlpackage/Data/com.apple.CoreML/model.mlmodel"] == b"a model specification"
    assert found["model.mlpackage/Data/com.apple.CoreML/weights/weight.bin"] == bytes(i * 7 % 256 for i in range(300))
    metadata = json.loads(found["metadata.json"])
    assert metadata["methods"]["prefill"] == {"inputNames": ["ids"], "outputNames": ["logits"]}


def test_a_blob_for_this_runtime_alone_is_refused(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    assert ours.unflatten_directory_contents((GOLDEN / "v1_inline.cmlb").read_bytes(), str(tmp_path)) is False
    assert "for this project's runtime alone" in errors(caplog)


def test_a_blob_whose_tables_disagree_is_refused(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = (GOLDEN / "v1_1_both.cmlb").read_bytes()
    changed = whole.replace(b'"size":300'[::-1], b'"size":299'[::-1])
    assert changed != whole
    # The stock module takes whatever its own table says.
    assert stock.unflatten_directory_contents(changed, str(tmp_path)) is True
    (tmp_path / "ours").mkdir()
    assert ours.unflatten_directory_contents(changed, str(tmp_path / "ours")) is False
    assert "does not agree with the blob itself" in errors(caplog)
    assert list((tmp_path / "ours").iterdir()) == []


def test_same_content_gives_the_same_bytes(tmp_path: pathlib.Path) -> None:
    first = write(tmp_path / "a" / "root")
    second = write(tmp_path / "b" / "root", dict(reversed(FILES.items())))
    assert ours.flatten_directory_contents(first) == ours.flatten_directory_contents(second)


def test_files_are_aligned(tmp_path: pathlib.Path) -> None:
    flattened = ours.flatten_directory_contents(write(tmp_path / "root"))
    assert flattened is not None
    assert flattened.index(bytes(range(256))) % 64 == 0


@pytest.mark.parametrize("spelling", ["root", "root/", "root/.", "other/../root"])
def test_the_root_is_named_as_the_folder(tmp_path: pathlib.Path, spelling: str) -> None:
    write(tmp_path / "root")
    (tmp_path / "other").mkdir()
    flattened = ours.flatten_directory_contents(f"{tmp_path}/{spelling}")
    assert flattened is not None
    (tmp_path / "target").mkdir()
    assert ours.unflatten_directory_contents(flattened, str(tmp_path / "target"))
    assert read(tmp_path / "target/root") == FILES


# Faults of the stock module.


def test_stock_fault_zero_length_file_crashes(tmp_path: pathlib.Path) -> None:
    root = write(tmp_path / "root", {"empty": b"", "full": b"x"})
    flattened = ours.flatten_directory_contents(str(root))
    assert flattened is not None
    (tmp_path / "target").mkdir()
    assert ours.unflatten_directory_contents(flattened, str(tmp_path / "target"))
    assert read(tmp_path / "target/root") == {"empty": b"", "full": b"x"}
    # The stock module reads it, too.
    (tmp_path / "stock").mkdir()
    assert stock.unflatten_directory_contents(flattened, str(tmp_path / "stock"))
    assert read(tmp_path / "stock/root") == {"empty": b"", "full": b"x"}


def test_the_stock_module_still_crashes_on_a_zero_length_file(tmp_path: pathlib.Path) -> None:
    # When it no longer does, FILES above can have one.
    root = write(tmp_path / "root", {"empty": b""})
    code = (
        "import importlib.machinery as m, importlib.util as u\n"
        f"l = m.ExtensionFileLoader('executorchcoreml', {_stock_path()!r})\n"
        "x = u.module_from_spec(u.spec_from_loader('executorchcoreml', l))\n"
        "l.exec_module(x)\n"
        f"x.flatten_directory_contents({str(root)!r})\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode < 0


def test_stock_fault_symbolic_links_are_followed(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "secret").write_text("outside")
    root = write(tmp_path / "root")
    (root / "link").symlink_to("../secret")
    assert ours.flatten_directory_contents(str(root)) is None
    assert "root/link" in errors(caplog)
    assert "symbolic link" in errors(caplog)


def test_stock_fault_failed_unflatten_deletes_a_sibling(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    # The stock module removes path + name, joined without a separator.
    flattened = ours.flatten_directory_contents(str(write(tmp_path / "root")))
    assert flattened is not None
    target = tmp_path / "target"
    write(target / "root", {"kept": b"mine"})
    sibling = write(tmp_path / "targetroot", {"kept": b"sibling"})
    assert ours.unflatten_directory_contents(flattened, str(target)) is False
    assert "already_exists" in errors(caplog)
    assert read(target / "root") == {"kept": b"mine"}
    assert read(sibling) == {"kept": b"sibling"}
    assert sorted(p.name for p in target.iterdir()) == ["root"]


def hostile(nodes: str, data: bytes = b"0123456789") -> bytes:
    return data + ('{"nodes":[' + nodes + "]}").encode()[::-1]


LEAF = '{"kind":0,"dataRegion":{"offset":0,"size":4}}'


@pytest.mark.parametrize(
    ("flattened", "reason"),
    [
        (hostile(LEAF + ',{"name":"r","kind":1,"children":{"../../escaped":0}}'), "slash"),
        (hostile(LEAF + ',{"name":"r","kind":1,"children":{"..":0}}'), "component . or .."),
        (hostile(LEAF + ',{"name":"..","kind":1,"children":{"f":0}}'), "the root's name is not allowed"),
        (hostile(LEAF + ',{"name":"../escaped","kind":1,"children":{"f":0}}'), "the root's name is not allowed"),
        (hostile(LEAF + ',{"name":"a/escaped","kind":1,"children":{"f":0}}'), "the root's name is not allowed"),
        (hostile(LEAF + ',{"name":"/tmp/escaped","kind":1,"children":{"f":0}}'), "the root's name is not allowed"),
        (hostile(LEAF + ',{"kind":1,"children":{"f":0}}'), "the path is empty"),
        (hostile('{"dataRegion":{"offset":18446744073709551612,"size":8}},{"name":"r","kind":1}'), "beyond the data"),
        (hostile('{"name":"r","kind":1,"children":{"f":0}}'), "not before its parent"),
        (b"junk", "none of the formats"),
        (b"", "none of the formats"),
    ],
)
def test_hostile_bytes_write_nothing(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, flattened: bytes, reason: str
) -> None:
    target = tmp_path / "a" / "target"
    target.mkdir(parents=True)
    assert ours.unflatten_directory_contents(flattened, str(target)) is False
    assert reason in errors(caplog)
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "target"]


def test_missing_paths_are_logged(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    assert ours.flatten_directory_contents(str(tmp_path / "none")) is None
    assert f"not_found: cannot look up the path: No such file or directory [{tmp_path / 'none'}]" in errors(caplog)
    flattened = ours.flatten_directory_contents(str(write(tmp_path / "root")))
    assert flattened is not None
    assert ours.unflatten_directory_contents(flattened, str(tmp_path / "none")) is False
    (tmp_path / "file").write_bytes(b"")
    assert ours.flatten_directory_contents(str(tmp_path / "file")) is None
    assert ours.unflatten_directory_contents(flattened, str(tmp_path / "file")) is False


def test_wrong_types_are_type_errors(tmp_path: pathlib.Path) -> None:
    for arguments in [(), (1,), (b"x", "y")]:
        with pytest.raises(TypeError):
            ours.flatten_directory_contents(*arguments)  # type: ignore[call-arg, arg-type]
    with pytest.raises(TypeError):
        ours.unflatten_directory_contents("text", str(tmp_path))  # type: ignore[arg-type]


def test_threads_may_flatten_at_once(tmp_path: pathlib.Path) -> None:
    root = write(tmp_path / "root")
    expected = ours.flatten_directory_contents(root)
    results: list[bool] = []

    def work() -> None:
        for _ in range(20):
            results.append(ours.flatten_directory_contents(root) == expected)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80
