"""The Python blob: what C++ wrote is read, what C++ refuses is refused, and what Python writes is canonical."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import pathlib
import re
import tracemalloc

import pytest
from executorch.backends.apple.coreml import blob
from executorch.backends.apple.coreml.blob import stock, table_verifier

TESTDATA = pathlib.Path("blob/testdata")
GOLDEN_ID = "0767e3d82767fccdb4f4ac2dc9a8ca5914f80ac9f7481d33a0ff5f8b6df94804"
WEIGHT_PATH = "Data/com.apple.CoreML/weights/weight.bin"


def golden(name: str) -> bytes:
    return (TESTDATA / "golden" / name).read_bytes()


def bytes_of(file: blob.File) -> bytes:
    return b"".join(file.content.chunks())


@pytest.fixture(scope="module")
def named_data() -> dict[str, bytes]:
    """What the C++ tests open their cases with."""
    whole = blob.read_blob(golden("v1_inline.cmlb"))
    return {
        "coreml_weight_0": bytes_of(whole.file(WEIGHT_PATH)),
        "coreml_blob_0": golden("v1_inline.cmlb"),
        "coreml_blob_both": golden("v1_1_both.cmlb"),
        "coreml_reference": golden("v1_reference.cmlb"),
    }


def test_golden_inline_is_read():
    content = blob.read_blob(golden("v1_inline.cmlb"), verify_checksums=True)
    assert blob.content_id(content).hex() == GOLDEN_ID
    assert content.request == blob.Request("cpu_and_ne", "float16", "iOS18")
    assert [f.name for f in content.functions] == ["main", "prefill"]
    main = content.function("main")
    assert main.method == "forward"
    assert main.inputs[0] == blob.Tensor(
        "x", blob.DataType.FLOAT32, (blob.Dimension(1, 1), blob.Dimension(1, 512), blob.Dimension(4, 4))
    )
    assert main.states[0].initial_value_path == "Data/executorch/cache.bin"
    assert content.function("prefill").inputs[0].enumerated_shapes == ((1, 8), (1, 32))
    assert content.function("prefill").outputs[0].dimensions[1] == blob.Dimension(1, blob.UNBOUNDED)


def test_golden_named_data_has_the_same_identity(named_data):
    content = blob.read_blob(golden("v1_named_data.cmlb"))
    assert isinstance(content.file(WEIGHT_PATH).content, blob.NamedData)
    assert blob.content_id(content).hex() == GOLDEN_ID
    resolved = blob.read_blob(golden("v1_named_data.cmlb"), named_data=named_data.get, verify_checksums=True)
    assert bytes_of(resolved.file(WEIGHT_PATH)) == named_data["coreml_weight_0"]


def test_golden_reference_is_followed(named_data):
    assert blob.read(golden("v1_reference.cmlb")) == blob.Reference("coreml_blob_0", "main")
    content, function = blob.open_delegate_call(golden("v1_reference.cmlb"), named_data=named_data.get)
    assert (blob.content_id(content).hex(), function) == (GOLDEN_ID, "main")


def test_rewriting_a_golden_keeps_payload_and_identity():
    original = golden("v1_inline.cmlb")
    content = blob.read_blob(original)
    written = blob.to_bytes(content)
    again = blob.read_blob(written, verify_checksums=True)
    assert blob.content_id(again).hex() == GOLDEN_ID
    # docs/blob_format.md: writers agree on the payload, not on the layout of the table.
    payload = sum(-(-f.content.size // 64) * 64 for f in content.files[:-1]) + content.files[-1].content.size
    assert written[-payload:] == original[-payload:]
    assert [dataclasses.replace(f, content=None) for f in again.files] == [
        dataclasses.replace(f, content=None) for f in content.files
    ]
    assert again.functions == content.functions


@pytest.mark.parametrize("name", ["v1_1_both.cmlb", "v1_1_both_python.cmlb"])
def test_golden_for_both_runtimes_is_read(name):
    content = blob.read_blob(golden(name), verify_checksums=True)
    assert content.for_stock_runtime
    assert bytes_of(content.file(WEIGHT_PATH)) == bytes(i * 7 % 256 for i in range(300))
    assert [f.name for f in content.functions] == ["main", "prefill"]
    assert content.debug_map == b'{"operations": {}}'


def test_writing_the_golden_for_both_runtimes_again():
    # The golden of this writer is what it writes of the content of the other's; a change of the bytes is a change of the format.
    content = blob.read_blob(golden("v1_1_both.cmlb"))
    assert blob.to_bytes(content) == golden("v1_1_both_python.cmlb")
    sink = io.BytesIO()
    blob.write(content, sink)
    assert sink.getvalue() == golden("v1_1_both_python.cmlb")
    alone = blob.to_bytes(dataclasses.replace(content, for_stock_runtime=False))
    assert len(golden("v1_1_both_python.cmlb")) - len(alone) < 2048
    assert not blob.read_blob(alone).for_stock_runtime


def test_a_stock_reference_to_a_blob_for_both_runtimes_is_followed(named_data):
    reference = stock.reference_to_bytes("coreml_blob_both", "prefill")
    assert reference[:4] == b"CMJR"
    content, function = blob.open_delegate_call(reference, named_data=named_data.get)
    assert (function, content.function("prefill").inputs[0].dtype) == ("prefill", blob.DataType.INT64)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (b"CMJR{", "cannot be read"),
        (b'CMJR{"version":1,"key":"coreml_blob_both"}', "functionName"),
        (b'CMJR{"version":1,"key":7,"functionName":"main"}', "not a text"),
        (b'CMJR{"version":1,"key":"","functionName":"main"}', "has 0 bytes"),
        (b'CMJR{"version":1,"key":"gone","functionName":"main"}', "does not have"),
        (b'CMJR{"version":1,"key":"coreml_blob_both","functionName":"gone"}', "function that is missing"),
        (b'CMJR{"version":1,"key":"coreml_blob_0","functionName":"main"}', "which the stock runtime cannot read"),
    ],
)
def test_a_wrong_stock_reference_is_refused(named_data, reference, reason):
    with pytest.raises(blob.CorruptBlobError, match=reason):
        blob.open_delegate_call(reference, named_data=named_data.get)


def test_a_newer_stock_reference_is_refused(named_data):
    with pytest.raises(blob.UnsupportedVersionError, match="version 2"):
        blob.open_delegate_call(b'CMJR{"version":2,"key":"k","functionName":"f"}', named_data=named_data.get)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"functions": (blob.Function("f", states=(blob.State(blob.Tensor("s", blob.DataType.INT8), "a"),)),)}, "state 's'"),
        ({"files": (blob.File("a", blob.NamedData("k", 1, bytes(32))),)}, "named data"),
    ],
)
def test_what_the_stock_runtime_cannot_carry_is_not_written(changed, reason):
    content = dataclasses.replace(small(), for_stock_runtime=True, **changed)
    assert reason in blob.stock_obstacle(content)
    with pytest.raises(ValueError, match=reason):
        blob.to_bytes(content)


def test_identity_is_the_documented_example():
    x = blob.Tensor("x", blob.DataType.FLOAT32, (blob.Dimension(1, 1), blob.Dimension(1, blob.UNBOUNDED)), ((1, 4), (1, 8)))
    y = blob.Tensor("y", blob.DataType.FLOAT32, (blob.Dimension(1, 1), blob.Dimension(1, blob.UNBOUNDED)))
    cache = blob.State(blob.Tensor("cache", blob.DataType.FLOAT16, (blob.Dimension.fixed(4),)), "state.bin")
    content = blob.Blob(
        specification_version=9,
        files=(
            blob.File("Manifest.json", blob.InlineBytes(b"{}")),
            blob.File("Data/model.mlmodel", blob.InlineBytes(b"model")),
            blob.File("state.bin", blob.InlineBytes(bytes(8))),
        ),
        functions=(blob.Function("main", (x,), (y,), (cache,)),),
    )
    text = pathlib.Path("docs/blob_format.md").read_text()
    documented = re.search(r"the identity is `([0-9a-f]{64})`", text)
    assert documented is not None
    assert blob.content_id(content).hex() == documented[1]


# What each corrupt file breaks, in the reader's words.
REFUSALS = {
    "alignment_no_power_of_two": "alignment 48 is not a power of two",
    "alignment_too_large": "alignment 131072",
    "alignment_zero": "alignment 0 is not a power of two",
    "both_debug_info_at_other_place": "debug_info.json is not the blob's debug map",
    "both_file_among_stock_bytes": "lies outside the payload",
    "both_file_at_other_place": "weight.bin' is at another place in the stock index, or has another size there",
    "both_file_of_other_size": "weight.bin' is at another place in the stock index, or has another size there",
    "both_file_with_other_name": "is only in the stock index",
    "both_identifier_of_other_content": "metadata.json has another identifier",
    "both_index_outside_its_bytes": "does not end with a stock index",
    "both_initial_value": "starts with values of its own",
    "both_other_function": "other functions, inputs or outputs",
    "both_other_inputs": "other functions, inputs or outputs",
    "both_other_outputs": "other functions, inputs or outputs",
    "both_root_outside": "cannot be the name of a folder",
    "both_root_with_path": "cannot be the name of a folder",
    "both_stock_bytes_beyond_payload": "more than the payload's",
    "both_without_index": "does not end with a stock index",
    "both_without_metadata": "metadata.json is missing",
    "bytes_behind_payload": "does not end with the blob",
    "bytes_behind_reference": "4 bytes follow a reference",
    "checksum_too_long": "has 33 bytes; a SHA-256 has 32",
    "content_id_of_other_content": "the content identifier is 0000",
    "content_id_too_short": "the content identifier has 31 bytes",
    "content_of_no_type": "neither a blob nor a reference",
    "content_of_unknown_type": "content type 9",
    "dimension_empty_range": "impossible dimension",
    "dimension_negative": "impossible dimension -1",
    "dtype_invalid": "has no dtype",
    "dtype_unknown": "unknown value 77",
    "empty": "too few for a size prefix",
    "enumerated_shape_of_other_rank": "enumerated shape of another rank",
    "enumerated_shape_outside_dimensions": "outside its dimensions",
    "file_beyond_payload": "lies outside the payload",
    "file_content_changed": "'Manifest.json' does not have its checksum",
    "file_ends_beyond_payload": "lies outside the payload",
    "file_offset_unaligned": "not a multiple of 64",
    "file_range_wraps_around": "lies outside the payload",
    "files_overlap": "overlap",
    "function_name_empty": "the name of a function has 0 bytes",
    "function_name_too_long": "has 4097 bytes",
    "function_name_twice": "function 'prefill' occurs twice",
    "function_name_with_nul": "contains NUL",
    "header_cut_short": "the size prefix says",
    "input_name_twice": "'x' occurs twice",
    "kind_of_newer_minor_version": "upgrade",
    "kind_unknown": "the kind has the unknown value 2",
    "major_version_newer": "upgrade",
    "major_version_zero": "no format version 0",
    "named_data_key_empty": "named-data key",
    "named_data_missing": "'no_such_key'",
    "named_data_of_other_size": "has 301 bytes",
    "no_files": "files: 0",
    "no_functions": "functions: 0",
    "output_name_twice": "'y' occurs twice",
    "path_absolute": "'/etc/passwd' is absolute",
    "path_below_a_file": "also a directory",
    "path_component_too_long": "more than 255 bytes",
    "path_empty": "empty component",
    "path_ends_in_slash": "empty component",
    "path_leaves_folder": "component '..'",
    "path_not_utf8": "not UTF-8",
    "path_too_deep": "more than 64 components",
    "path_twice": "'Manifest.json' occurs twice",
    "path_with_dot": "component '.'",
    "path_with_empty_component": "empty component",
    "path_with_nul": "NUL",
    "payload_cut_short": "does not end with the blob",
    "payload_missing": "does not end with the blob",
    "payload_size_wraps_around": "does not end with the blob",
    "rank_too_high": ": 17; there may be 0 to 16",
    "reference_function_empty": "function name of a reference",
    "reference_function_missing": "['main', 'prefill']",
    "reference_key_empty": "named-data key of a reference",
    "reference_key_missing": "'no_such_key'",
    "reference_of_newer_version": "upgrade",
    "reference_to_reference": "in the place of a whole blob",
    "reference_to_weights": "the size prefix says",
    "root_offset_beyond_table": "the table is malformed",
    "size_prefix_beyond_end": "the size prefix says",
    "size_prefix_too_small": "the table is malformed",
    "state_elements_overflow": "too many elements",
    "state_initial_value_missing": "'no/file', which is not a file",
    "state_initial_value_of_other_size": "8 bytes, but its elements take 10",
    "state_name_of_an_input": "'x' occurs twice",
    "state_of_variable_shape": "no fixed shape",
    "too_many_enumerated_shapes": "1025; there may be 0 to 1024",
    "unknown_format": "the size prefix says",
}
NEWER = {
    "content_of_unknown_type",
    "kind_of_newer_minor_version",
    "major_version_newer",
    "reference_of_newer_version",
}


def test_every_corrupt_file_has_its_refusal():
    names = {path.name for path in (TESTDATA / "corrupt").iterdir() if not path.name.startswith("stock_")}
    assert names == REFUSALS.keys()


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_corrupt_is_refused(name, named_data):
    data = (TESTDATA / "corrupt" / name).read_bytes()
    expected = blob.UnsupportedVersionError if name in NEWER else blob.CorruptBlobError
    with pytest.raises(expected, match=re.escape(REFUSALS[name])):
        blob.open_delegate_call(data, named_data=named_data.get, verify_checksums=True)


def test_no_flipped_bit_of_the_table_crashes_the_reader(named_data):
    data = bytearray(golden("v1_inline.cmlb"))
    table_bytes = int.from_bytes(data[:4], "little") + 4
    for position in range(table_bytes):
        data[position] ^= 1 << position % 8
        with contextlib.suppress(blob.CorruptBlobError, blob.UnsupportedVersionError):
            blob.open_delegate_call(bytes(data), named_data=named_data.get)
        data[position] ^= 1 << position % 8


def test_a_table_is_verified_whole_and_at_any_address():
    data = golden("v1_inline.cmlb")
    table = data[: int.from_bytes(data[:4], "little") + 4]
    for view in (table, memoryview(table), memoryview(b"\0" + table)[1:]):
        assert table_verifier.problem(view) is None
    assert "reaches beyond" in table_verifier.problem(table[:-1])
    # The offset of the root is the first thing in a table.
    assert "an offset, size or required field is wrong" in table_verifier.problem(table[:4] + b"\xff\xff\xff\x7f" + table[8:])


def small(path: str = "a", data: bytes = b"x") -> blob.Blob:
    return blob.Blob(files=(blob.File(path, blob.InlineBytes(data)),), functions=(blob.Function("main"),))


def test_order_of_files_functions_and_states_does_not_matter():
    files = tuple(blob.File(name, blob.InlineBytes(name.encode())) for name in ("b", "a/z", "a.b"))
    states = tuple(blob.State(blob.Tensor(name, blob.DataType.FLOAT16, (blob.Dimension.fixed(1),))) for name in ("t", "s"))
    functions = (blob.Function("g"), blob.Function("f", states=states))
    forwards = blob.Blob(files=files, functions=functions)
    backwards = blob.Blob(files=files[::-1], functions=(dataclasses.replace(functions[1], states=states[::-1]), functions[0]))
    assert blob.to_bytes(forwards) == blob.to_bytes(backwards)


@pytest.mark.parametrize(
    "changed",
    [
        dataclasses.replace(small(), request=blob.Request("all", "float16", "iOS18")),
        dataclasses.replace(small(), producer="x", producer_versions=(("torch", "1"),)),
        dataclasses.replace(small(), debug_map=b"{}"),
        dataclasses.replace(small(), alignment=128),
        dataclasses.replace(small(), functions=(blob.Function("main", method="forward"),)),
        dataclasses.replace(small(), files=(blob.File("a", blob.NamedData("k", 1, blob.InlineBytes(b"x").checksum)),)),
    ],
)
def test_identity_ignores_what_is_not_the_model(changed):
    assert blob.content_id(changed) == blob.content_id(small())
    assert blob.to_bytes(changed) != blob.to_bytes(small())


@pytest.mark.parametrize(
    "changed",
    [
        small(path="b"),
        small(data=b"y"),
        dataclasses.replace(small(), kind=blob.Kind.COMPILED),
        dataclasses.replace(small(), specification_version=9),
        dataclasses.replace(small(), functions=(blob.Function("other"),)),
        dataclasses.replace(small(), functions=(blob.Function("main", inputs=(blob.Tensor("x", blob.DataType.BOOL),)),)),
        dataclasses.replace(small(), functions=(blob.Function("main", outputs=(blob.Tensor("x", blob.DataType.BOOL),)),)),
    ],
)
def test_identity_depends_on_the_model(changed):
    assert blob.content_id(changed) != blob.content_id(small())


def test_stream_and_bytes_agree(tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(bytes(range(256)) * 5000)
    content = blob.Blob(
        files=(
            blob.File("weight.bin", blob.FileOnDisk(str(weights))),
            blob.File("empty", blob.InlineBytes(b"")),
        ),
        functions=(blob.Function("main"),),
    )
    sink = io.BytesIO()
    blob.write(content, sink)
    assert sink.getvalue() == blob.to_bytes(content)
    read = blob.read_blob(sink.getvalue(), verify_checksums=True)
    assert bytes_of(read.file("weight.bin")) == weights.read_bytes()
    assert read.file("empty").content.size == 0


def test_to_bytes_holds_one_copy_and_stream_none(tmp_path):
    size = 64 << 20
    weights = tmp_path / "weights"
    with weights.open("wb") as file:
        file.truncate(size)
    content = blob.Blob(files=(blob.File("weight.bin", blob.FileOnDisk(str(weights))),), functions=(blob.Function("main"),))
    tracemalloc.start()
    try:
        with (tmp_path / "out").open("wb") as sink:
            blob.write(content, sink)
        streamed = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        data = blob.to_bytes(content)
        copied = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        blob.read_blob(data)
        opened = tracemalloc.get_traced_memory()[1] - len(data)
    finally:
        tracemalloc.stop()
    assert streamed < 20 << 20
    assert copied < 1.1 * size
    assert opened < 1 << 20


def test_missing_function_and_file_are_named():
    with pytest.raises(KeyError, match="the blob has no function 'f'; it has \\['main'\\]"):
        small().function("f")
    with pytest.raises(KeyError, match="the blob has no file 'b'; it has \\['a'\\]"):
        small().file("b")
