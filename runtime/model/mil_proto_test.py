"""Our mil.proto is a subset of coremltools' schema: same names, numbers, types and labels."""

import importlib.util
import os
import sys
import types

import pytest
from google.protobuf import descriptor_pb2

Field = descriptor_pb2.FieldDescriptorProto


def _coremltools_descriptors():
    """Every message and enumeration of coremltools' schema by name, without importing coremltools itself (seconds)."""
    spec = importlib.util.find_spec("coremltools")
    package = types.ModuleType("coremltools")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules.setdefault("coremltools", package)
    from coremltools.proto import FeatureTypes_pb2, MIL_pb2, Model_pb2, NeuralNetwork_pb2

    found = {}
    for module in (Model_pb2, FeatureTypes_pb2, MIL_pb2, NeuralNetwork_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        _collect(file.message_type, file.enum_type, "", found)
    return found


def _collect(messages, enums, prefix, found):
    for enum in enums:
        found[prefix + enum.name] = enum
    for message in messages:
        found[prefix + message.name] = message
        _collect(message.nested_type, message.enum_type, prefix + message.name + ".", found)


def _ours():
    path = os.environ["MIL_DESCRIPTOR_SET"]
    if not os.path.exists(path):
        path = os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], path)
    files = descriptor_pb2.FileDescriptorSet()
    with open(path, "rb") as file:
        files.ParseFromString(file.read())
    assert [file.package for file in files.file] == ["coreml_delegate.model.proto"]
    found = {}
    _collect(files.file[0].message_type, files.file[0].enum_type, "", found)
    return found


OURS = _ours()
THEIRS = _coremltools_descriptors()


def _type_of(field):
    """A field's type, without the package that messages and enumerations are in."""
    name = field.type_name
    for package in (".coreml_delegate.model.proto.", ".CoreML.Specification.MILSpec.", ".CoreML.Specification."):
        if name.startswith(package):
            name = name[len(package) :]
            break
    return field.type, name


def test_there_is_something_to_compare():
    assert {"Model", "Operation", "Value", "ArrayFeatureType.ArrayDataType", "DataType"} <= set(OURS)


@pytest.mark.parametrize("name", sorted(OURS))
def test_is_a_subset_of_coremltools(name):
    assert name in THEIRS, f"coremltools has no {name}"
    ours, theirs = OURS[name], THEIRS[name]
    if isinstance(ours, descriptor_pb2.EnumDescriptorProto):
        # All of them: a value that we do not know could not be told from a corrupt one.
        assert {v.name: v.number for v in ours.value} == {v.name: v.number for v in theirs.value}
        return
    fields = {field.name: field for field in theirs.field}
    for field in ours.field:
        other = fields.get(field.name)
        assert other is not None, f"coremltools' {name} has no {field.name}"
        assert field.number == other.number, field.name
        assert field.label == other.label, field.name
        assert _type_of(field) == _type_of(other), field.name
        assert field.HasField("oneof_index") == other.HasField("oneof_index"), field.name
        if field.HasField("oneof_index"):
            assert ours.oneof_decl[field.oneof_index].name == theirs.oneof_decl[other.oneof_index].name
