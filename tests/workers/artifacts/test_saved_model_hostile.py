"""A SavedModel that reaches outside is rejected with function and node, wherever it does so and whatever it is called.

Where TensorFlow would do the harm, the test shows that it does: a marker file appears when the upload is loaded as it
comes and called. It never appears after an inspection.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.workers.artifacts.saved_models import (
    ACCEPTED,
    added_entry,
    changed_entry,
    changed_message,
    exported,
    packed,
    tensorflow,
    unpacked,
)
from workers.artifacts.findings import Finding
from workers.artifacts.inspection import inspect


def finding_of(path: Path, name: str = "model.zip") -> Finding:
    """Return why a file is rejected: accepting the format accepts nothing else."""
    inspection = inspect(path, filename=name, accepted=ACCEPTED)
    assert inspection.verdict == "rejected"
    return inspection.findings[0]


def call_as_it_comes(path: Path, folder: Path) -> None:
    tf = tensorflow()
    loaded = tf.saved_model.load(str(unpacked(path, folder)))
    loaded.signatures["serving_default"](features=tf.ones([2, 2]))


def nested(harm: Callable[[Any], Any]) -> Callable[[Any], Any]:
    tf = tensorflow()

    @tf.function  # type: ignore[untyped-decorator]
    def traced_save(scores: Any) -> Any:
        return harm(scores)

    return lambda scores: traced_save(scores)


def in_a_loop(harm: Callable[[Any], Any]) -> Callable[[Any], Any]:
    tf = tensorflow()
    return lambda scores: tf.while_loop(
        lambda step, _: step < 1, lambda step, inner: (step + 1, harm(inner)), (0, scores)
    )[1]


def in_a_branch(harm: Callable[[Any], Any]) -> Callable[[Any], Any]:
    tf = tensorflow()
    return lambda scores: tf.cond(tf.shape(scores)[0] > 0, lambda: harm(scores), lambda: scores)


def payloads(marker: str, secret: str) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """Operators that reach outside, each with what makes a call of it of the scores."""
    tf = tensorflow()

    def after(operation: Any, scores: Any) -> Any:
        with tf.control_dependencies([operation]):
            return tf.identity(scores)

    return {
        "write": ("WriteFile", lambda scores: after(tf.io.write_file(marker, "x"), scores)),
        "print": ("PrintV2", lambda scores: after(tf.print("x", output_stream=f"file://{marker}"), scores)),
        "save": (
            "SaveV2",
            lambda scores: after(
                tf.raw_ops.SaveV2(prefix=marker, tensor_names=["a"], shape_and_slices=[""], tensors=[scores]), scores
            ),
        ),
        "read": ("ReadFile", lambda scores: after(tf.io.read_file(secret), scores)),
        "match": ("MatchingFiles", lambda scores: after(tf.io.matching_files("/etc/*"), scores)),
        "python": ("EagerPyFunc", lambda scores: tf.py_function(lambda x: x, [scores], tf.float32)),
        "map memory": (
            "ImmutableConst",
            lambda scores: scores + tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name=secret),
        ),
    }


@pytest.mark.parametrize("payload", ["write", "print", "save", "read", "match", "python", "map memory"])
def test_an_operator_that_reaches_outside_is_rejected(payload: str, tmp_path: Path) -> None:
    operator, harm = payloads(str(tmp_path / "marker"), str(tmp_path / "secret"))[payload]
    finding = finding_of(exported(tmp_path / "model.zip", harm))
    assert (finding.id, finding.severity) == ("ART-01.operator", "critical")
    assert operator in finding.detail
    assert "function __inference" in finding.place
    assert "node" in finding.place
    assert not list(tmp_path.glob("marker*"))


@pytest.mark.parametrize("payload", ["write", "print", "save"])
@pytest.mark.parametrize("hide", [nested, in_a_loop, in_a_branch])
def test_it_is_found_where_it_hides_and_does_its_harm_as_it_comes(
    payload: str, hide: Callable[[Any], Any], tmp_path: Path
) -> None:
    operator, harm = payloads(str(tmp_path / "marker"), "")[payload]
    path = exported(tmp_path / "model.zip", hide(harm))
    finding = finding_of(path)
    assert finding.id == "ART-01.operator"
    assert operator in finding.detail
    assert not list(tmp_path.glob("marker*"))
    call_as_it_comes(path, tmp_path / "as it comes")
    assert list(tmp_path.glob("marker*")), "the payload has teeth"


def test_it_is_found_in_a_gradient(tmp_path: Path) -> None:
    tf = tensorflow()
    marker = str(tmp_path / "marker")

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def harmless(scores: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            with tf.control_dependencies([tf.io.write_file(marker, "x")]):
                return tf.identity(upstream)

        return tf.identity(scores), gradient

    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    finding = finding_of(exported(tmp_path / "model.zip", harmless, options=options))
    assert finding.id == "ART-01.operator"
    assert "WriteFile" in finding.detail


def test_loading_alone_can_do_harm(tmp_path: Path) -> None:
    tf = tensorflow()
    marker = tmp_path / "marker"

    from tensorflow.python.trackable import resource

    class Evil(resource.TrackableResource):  # type: ignore[misc]
        def _create_resource(self) -> Any:
            return tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="table")

        def _initialize(self) -> None:
            tf.io.write_file(str(marker), "x")

    path = exported(tmp_path / "model.zip", lambda scores: scores, evil=Evil())
    marker.unlink(missing_ok=True)
    assert finding_of(path).id == "ART-01.operator"
    assert not marker.exists()
    tf.saved_model.load(str(unpacked(path, tmp_path / "as it comes")))
    assert marker.exists(), "the payload has teeth"


def test_a_file_that_is_no_asset_fills_no_table(tmp_path: Path) -> None:
    tf = tensorflow()
    (tmp_path / "secret").write_text("a\nb\n")

    def read(scores: Any) -> Any:
        table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        fill = tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=table, filename=str(tmp_path / "secret"), key_index=-2, value_index=-1
        )
        with tf.control_dependencies([fill]):
            return tf.identity(scores)

    finding = finding_of(exported(tmp_path / "model.zip", read))
    assert finding.id == "ART-01.operator"
    assert "not an asset" in finding.detail


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tf = tensorflow()
    folder = tmp_path_factory.mktemp("plain")
    (folder / "words.txt").write_text("no\nyes\n")
    initializer = tf.lookup.TextFileInitializer(
        str(folder / "words.txt"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )  # fmt: skip
    table = tf.lookup.StaticHashTable(initializer, -1)
    constant = tf.constant([1.0, 2.0])
    return exported(
        folder / "plain.zip", lambda scores: tf.nn.softmax(scores + constant), words=table, constant=constant
    )


def node_of(document: Any, operator: str) -> Any:
    """Return the first node with this operator in a function that is reached."""
    for function in document.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op == operator:
                return node
    raise AssertionError(operator)


def objects_of(document: Any) -> Any:
    return document.meta_graphs[0].object_graph_def


def rename_savers(document: Any) -> None:
    """Let the object graph reach the function that saves, under a name that looks like a call's."""
    library = document.meta_graphs[0].graph_def.library
    saver = next(f for f in library.function if any(node.op == "SaveV2" for node in f.node_def))
    objects_of(document).concrete_functions[saver.signature.name].bound_inputs.extend([])


def add_call_of_nothing(document: Any) -> None:
    node_of(document, "MatMul").attr["f"].func.name = "missing"


def splat(document: Any) -> None:
    attribute = node_of(document, "Const").attr["value"].tensor
    attribute.Clear()
    attribute.dtype = 1
    attribute.tensor_shape.dim.add().size = 2**30
    attribute.float_val.append(1.0)


def too_few_bytes(document: Any) -> None:
    attribute = node_of(document, "Const").attr["value"].tensor
    attribute.Clear()
    attribute.dtype = 1
    attribute.tensor_shape.dim.add().size = 8
    attribute.tensor_content = bytes(4)


def splat_for_a_placeholder(document: Any) -> None:
    """A function may be called with the values that its nodes are made of."""
    value = node_of(document, "StatefulPartitionedCall").attr["f"].func.attr["V"].tensor
    value.dtype = 1
    value.tensor_shape.dim.add().size = 2**40


def set_any(document: Any) -> None:
    document.meta_graphs[0].meta_info_def.any_info.type_url = "type.googleapis.com/x"


def second_graph(document: Any) -> None:
    document.meta_graphs.add().CopyFrom(document.meta_graphs[0])


def name_kind(document: Any) -> None:
    value = next(iter(objects_of(document).concrete_functions.values())).canonicalized_input_signature
    value.named_tuple_value.name = "x, import os"


CHANGES: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "an operator of others": (
        "ART-01.custom_operator", "TakeOver", lambda d: setattr(node_of(d, "MatMul"), "op", "TakeOver")),
    "an operator for debugging": (
        "ART-01.operator", "DebugIdentity", lambda d: setattr(node_of(d, "MatMul"), "op", "DebugIdentityV2")),
    "a data set": (
        "ART-01.operator", "outside", lambda d: setattr(node_of(d, "MatMul"), "op", "TFRecordDataset")),
    "the graph around the functions": (
        "ART-01.operator", "WriteFile", lambda d: d.meta_graphs[0].graph_def.node.add(name="x", op="WriteFile")),
    "savers that are reached": ("ART-01.operator", "outside of the functions that save", rename_savers),
    "a machine elsewhere": (
        "ART-01.operator", "device", lambda d: setattr(node_of(d, "MatMul"), "device", "/job:worker/task:1")),
    "a function that is missing": ("ART-02.graph", "missing", add_call_of_nothing),
    "an odd attribute": (
        "ART-02.graph", "_tpu_replicate", lambda d: setattr(node_of(d, "MatMul").attr["_tpu_replicate"], "s", b"x")),
    "a bomb of one value": ("ART-02.too_large", "1,073,741,824", splat),
    "a bomb that a call brings": ("ART-02.too_large", "1,099,511,627,776", splat_for_a_placeholder),
    "a tensor with too few bytes": ("ART-02.graph", "8 values", too_few_bytes),
    "a message of any kind": ("ART-01.custom_object", "any_info", set_any),
    "two graphs": ("ART-02.graph", "has 2", second_graph),
    "no object graph": (
        "ART-02.graph", "TensorFlow 1", lambda d: d.meta_graphs[0].ClearField("object_graph_def")),
    "an object of another class": (
        "ART-01.custom_object", "evil", lambda d: setattr(objects_of(d).nodes[0], "registered_name", "evil.Class")),
    "a saver of another class": (
        "ART-01.custom_object", "evil", lambda d: setattr(objects_of(d).nodes[0], "registered_saver", "evil")),
    "an attribute that changes its object": (
        "ART-01.name", "__class__", lambda d: setattr(objects_of(d).nodes[0].children[0], "local_name", "__class__")),
    "an object that is not there": (
        "ART-02.graph", "no object 999", lambda d: setattr(objects_of(d).nodes[0].children[0], "node_id", 999)),
    "a tuple with code for a name": ("ART-01.name", "import os", name_kind),
    "an asset outside of the folder": (
        "ART-02.missing_entry", "passwd",
        lambda d: setattr(d.meta_graphs[0].asset_file_def[0], "filename", "../../etc/passwd")),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CHANGES))
def test_a_changed_message_is_rejected(name: str, plain: Path, tmp_path: Path) -> None:
    identifier, words, change = CHANGES[name]
    finding = finding_of(changed_message(plain, tmp_path / "changed.zip", change))
    assert (finding.id, words in finding.detail) == (identifier, True), finding


@pytest.mark.parametrize(
    ("entry", "identifier"),
    [("model/setup.py", "ART-02.unknown_entry"), ("model/variables/extra", "ART-02.unknown_entry"),
     ("other/file", "ART-02.unknown_entry"), ("model/saved_model.pbtxt", "ART-02.unknown_entry")],
)  # fmt: skip
def test_an_entry_that_does_not_belong_is_rejected(entry: str, identifier: str, plain: Path, tmp_path: Path) -> None:
    assert finding_of(added_entry(plain, tmp_path / "more.zip", entry, b"x")).id == identifier


def test_a_graph_as_text_is_rejected_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pbtxt").write_text("saved_model_schema_version: 1")
    finding = finding_of(packed(tmp_path / "model", tmp_path / "model.zip"))
    assert "as text (.pbtxt)" in finding.detail


def test_settings_of_the_machine_are_left_out(plain: Path, tmp_path: Path) -> None:
    """What a call says of how it is to be run (``config_proto``) is for the machine that runs it to decide."""
    from workers.artifacts.rewrite import rewrite

    def change(document: Any) -> None:
        node_of(document, "StatefulPartitionedCall").attr["config_proto"].s = b"\x82\x01\x00"

    path = changed_message(plain, tmp_path / "model.zip", change)
    rewrite(path, inspect(path, filename="model.zip", accepted=ACCEPTED), tmp_path / "copy.saved_model")

    def check(document: Any) -> None:
        assert "config_proto" not in node_of(document, "StatefulPartitionedCall").attr

    changed_message(tmp_path / "copy.saved_model", tmp_path / "read.zip", check)


def test_files_beside_the_model_are_left_out_and_told(plain: Path, tmp_path: Path) -> None:
    path = added_entry(plain, tmp_path / "more.zip", "model/keras_metadata.pb", b"x")
    inspection = inspect(path, filename="model.zip", accepted=ACCEPTED)
    assert inspection.verdict == "registered"
    assert [finding.id for finding in inspection.findings] == ["ART-03.saved_model", "ART-03.extra_files"]


def test_an_asset_that_is_missing_is_rejected(plain: Path, tmp_path: Path) -> None:
    finding = finding_of(changed_entry(plain, tmp_path / "less.zip", "words.txt", lambda _: None))
    assert finding.id == "ART-02.missing_entry"
