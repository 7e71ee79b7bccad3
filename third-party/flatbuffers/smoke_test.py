"""flatc's Python code and the flatbuffers package belong together."""

import importlib

import flatbuffers

# The folder's name is no identifier, hence no import statement.
smoke = importlib.import_module("third-party.flatbuffers.smoke_generated")


def test_writes_and_reads() -> None:
    builder = flatbuffers.Builder()
    name = builder.CreateString("weights")
    smoke.ItemStart(builder)
    smoke.ItemAddName(builder, name)
    smoke.ItemAddKind(builder, smoke.Kind.Folder)
    smoke.ItemAddSize(builder, 1 << 40)
    builder.Finish(smoke.ItemEnd(builder))
    item = smoke.Item.GetRootAs(builder.Output(), 0)
    assert item.Name() == b"weights"
    assert item.Kind() == smoke.Kind.Folder
    assert item.Size() == 1 << 40
