"""Protobuf has one encoding here, and the schemas are those of the installed TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.artifacts.crafting import outcome
from tests.workers.artifacts.saved_models import ACCEPTED, changed_entry, exported, tensorflow
from workers.artifacts.inspection import inspect
from workers.artifacts.saved_model.messages import LENGTH, MESSAGES
from workers.artifacts.saved_model.wire import encode, parse


def read(content: bytes, name: str = "VersionDef") -> Any:
    return outcome(lambda: parse(content, name, "here"))


def refused(content: bytes, words: str, name: str = "VersionDef") -> None:
    value, finding = read(content, name)
    assert value is None
    assert finding is not None
    assert finding.id == "ART-02.protobuf"
    assert words in finding.detail
    assert "byte" in finding.place


def test_a_message_is_read_and_written_as_it_was() -> None:
    content = bytes([0x08, 0x96, 0x01, 0x1A, 0x03, 0x01, 0xAC, 0x02])
    message, finding = read(content)
    assert finding is None
    assert message["producer"] == 150
    assert message["bad_consumers"].values.tolist() == [1, 300]
    assert encode("VersionDef", message) == content


def test_a_negative_number_has_ten_bytes() -> None:
    message, _ = read(b"\x08" + b"\xff" * 9 + b"\x01")
    assert message == {"producer": -1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x08\x01\x08\x01", "stands twice"),
        (b"\x1a\x01\x01\x1a\x01\x01", "stands twice"),
        (b"\x20\x01", "no field 4"),
        (b"\x00\x01", "no field 0"),
        (b"\x0a\x01\x01", "wire type 2"),
        (b"\x18\x01", "wire type 0"),  # many numbers, not in one piece
        (b"\x0b\x0c", "wire type 3"),  # a group
        (b"\x08\x81\x00", "longer than it needs"),
        (b"\x88\x00\x01", "longer than it needs"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "larger than 64 bits"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "more than 10 bytes"),
        (b"\x08\x80\x80\x80\x80\x10", "is no int32"),
        (b"\x08", "cut off"),
        (b"\x08\x80", "cut off"),
        (b"\x1a\x00", "holds no number"),
        (b"\x1a\x02\x81\x00", "shortest form"),
        (b"\x1a\x01\x81", "shortest form"),
        (b"\x1a\x05\x01", "beside its message"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(content: bytes, words: str) -> None:
    refused(content, words)


def test_one_field_of_a_choice_is_set() -> None:
    refused(b"\x18\x01\x28\x01", "choice 'value'", "AttrValue")


def test_a_text_is_utf_8() -> None:
    refused(b"\x0a\x02\xc3\x28", "not UTF-8", "NodeDef")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (b"\x0a\x01a\x12\x00", ""),
        (b"\x0a\x01a", "cut off"),
        (b"\x12\x00\x0a\x01a", "a key and a value"),
        (b"\x0a\x01a\x12\x00\x12\x00", "a key and a value"),
    ],
)
def test_an_entry_of_a_map_is_a_key_and_a_value(entry: bytes, words: str) -> None:
    content = b"\x2a" + bytes([len(entry)]) + entry
    if words:
        refused(content, words, "NodeDef")
    else:
        assert read(content, "NodeDef") == ({"attr": {"a": {}}}, None)
        refused(content + content, "stands twice", "NodeDef")


def test_messages_are_nested_a_hundred_deep_and_no_deeper() -> None:
    content = b""
    for depth in range(200):
        head, length = b"\x12", len(content)
        content = head + (bytes([length]) if length < 128 else bytes([length % 128 + 128, length // 128])) + content
        if depth == 90:
            assert read(content, "FullTypeDef")[1] is None
    refused(content, "nested deeper", "FullTypeDef")


def test_the_schemas_are_those_of_the_installed_tensorflow() -> None:
    tensorflow()
    from google.protobuf.descriptor import FieldDescriptor
    from tensorflow.core.protobuf import saved_model_pb2, tensor_bundle_pb2, trackable_object_graph_pb2

    scalars = {value: name[5:].lower() for name, value in vars(FieldDescriptor).items() if name.startswith("TYPE_")}
    waiting = [
        saved_model_pb2.SavedModel.DESCRIPTOR,
        tensor_bundle_pb2.BundleHeaderProto.DESCRIPTOR,
        tensor_bundle_pb2.BundleEntryProto.DESCRIPTOR,
        trackable_object_graph_pb2.TrackableObjectGraph.DESCRIPTOR,
    ]
    seen = set()
    while waiting:
        descriptor = waiting.pop()
        name = descriptor.full_name.removeprefix("tensorflow.")
        if name in seen:
            continue
        seen.add(name)
        ours = MESSAGES[name]
        assert set(ours) == {field.number for field in descriptor.fields}, name
        for field in descriptor.fields:
            mine, inner = ours[field.number], field.message_type
            assert mine.name == field.name
            assert mine.choice == (field.containing_oneof.name if field.containing_oneof else "")
            if inner is None:
                assert mine.kind == scalars[field.type]
                assert mine.packed == (
                    field.is_repeated and mine.wire == LENGTH and mine.kind not in ("string", "bytes")
                )
            elif inner.GetOptions().map_entry:
                value = inner.fields_by_name["value"]
                assert mine.kind == "map"
                assert mine.key == scalars[inner.fields_by_name["key"].type]
                waiting.extend([value.message_type] if value.message_type else [])
            elif inner.full_name == "google.protobuf.Any":
                assert mine.kind == "refused"
            else:
                assert mine.message == inner.full_name.removeprefix("tensorflow.")
                waiting.append(inner)
    assert seen == set(MESSAGES)


def test_the_operators_are_those_of_the_installed_tensorflow() -> None:
    tensorflow()
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    from workers.artifacts.saved_model import operators

    registered = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    names = {operator.name for operator in registered.op}
    assert names >= operators.OPERATORS | operators.SAVERS
    assert not [name for name in operators.OPERATORS - {operators.READS_ASSET} if operators.danger_of(name)]
    assert not operators.OPERATORS & operators.SAVERS
    stateful = {operator.name for operator in registered.op if operator.is_stateful}
    assert not stateful & frozenset(operators._STATELESS.split())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("small") / "small.zip", lambda scores: scores + 1.0)


@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), entry=st.sampled_from(["saved_model.pb", "variables.index", "data-00000-of-00001"]))
def test_damaged_entries_are_a_verdict_and_never_an_exception(
    data: st.DataObject, entry: str, small: Path, tmp_path: Path
) -> None:
    def damage(content: bytes) -> bytes:
        damaged = bytearray(content)
        for _ in range(data.draw(st.integers(1, 4))):
            position = data.draw(st.integers(0, len(damaged) - 1))
            kind = data.draw(st.sampled_from(["change", "insert", "remove", "repeat"]))
            if kind == "change":
                damaged[position] = data.draw(st.integers(0, 255))
            elif kind == "insert":
                damaged[position:position] = data.draw(st.binary(min_size=1, max_size=4))
            elif kind == "remove":
                del damaged[position : position + data.draw(st.integers(1, 8))]
            else:
                damaged[position:position] = damaged[position : position + data.draw(st.integers(1, 64))]
            damaged = damaged or bytearray(b"x")
        return bytes(damaged)

    path = changed_entry(small, tmp_path / "damaged.zip", entry, damage)
    inspection = inspect(path, filename="damaged.zip", accepted=ACCEPTED)
    assert inspection.verdict in ("registered", "rejected")
    json.dumps(inspection.to_json(), allow_nan=False)


def test_a_message_of_many_empty_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.artifacts.saved_model.wire._MAX_FIELDS", 100)
    _, finding = read(b"\x0a\x00" * 101, "GraphDef")
    assert finding is not None
    assert finding.id == "ART-02.too_large"
