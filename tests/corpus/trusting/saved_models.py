"""Loaders of SavedModels, and readers that take their files apart by themselves."""

from __future__ import annotations

import base64
import json
import marshal
import shutil
import types
from pathlib import Path
from typing import Any

from tests.corpus.case import DECOY
from tests.corpus.graphs import CUSTOM_OPERATOR, protobuf_number
from tests.corpus.trusting.documents import by_field, fields
from tests.corpus.trusting.loader import Loader, reading, touch
from tests.corpus.trusting.operators import registered_writer

_SCHEMA_VERSION, _META_GRAPHS = 1, 2
_NODES, _METADATA = 1, 5
_SHARDS = 1
#: So many tokens of Python functions are in use in a process that serves several models.
_TOKENS = 8


def _unpacked(path: Path) -> Path:
    """Return the folder of the model in an archive, unpacked once."""
    folder = path.parent / "saved_model"
    if not folder.exists():
        shutil.unpack_archive(path, folder)
    return next(folder.rglob("saved_model.pb")).parent


def _tells_of_the_decoy(answer: Any) -> bool:
    """Tell whether an answer holds the decoy's content or name, as numbers or as text."""
    content = answer.tobytes() if hasattr(answer, "tobytes") and answer.dtype != object else repr(answer).encode()
    return DECOY in content or b"decoy" in content


def _call(folder: Path) -> bool:
    """Load a SavedModel and call its signature; tell whether the answer holds the decoy."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    answers = loaded.signatures["serving_default"](tf.zeros((2, 4)))
    return any(_tells_of_the_decoy(answer.numpy()) for answer in answers.values())


def _load_and_call(path: Path) -> None:
    if _call(_unpacked(path)):
        touch(path)


def _load_beside_python(path: Path) -> None:
    """Load a model in a process which has Python functions in graphs of its own, and which one of them calls."""
    import tensorflow as tf

    def write() -> float:
        touch(path)
        return 1.0

    def own() -> Any:
        return tf.py_function(write, [], tf.float32)

    kept = [tf.function(own).get_concrete_function() for _ in range(_TOKENS)]
    _load_and_call(path)
    assert len(kept) == _TOKENS


def _load_beside_operators(path: Path) -> None:
    """Load a model where somebody's library has registered the operator that the model names."""
    with registered_writer(CUSTOM_OPERATOR):
        _load_and_call(path)


def _load_the_last(path: Path) -> None:
    """Load the last of a file's graphs, as readers do that let a later field win."""
    folder = _unpacked(path)
    graph = folder / "saved_model.pb"
    read = by_field(graph.read_bytes(), choose=lambda first, later: later)
    body = read[_META_GRAPHS]
    graph.write_bytes(b"\x08\x01\x12" + protobuf_number(len(body)) + body)
    _call(folder)


def _by_tensorflow(path: Path) -> Any:
    """Return what TensorFlow parses: version, number of graphs, and nothing else that it shows."""
    from tensorflow.core.protobuf import saved_model_pb2

    parsed = saved_model_pb2.SavedModel.FromString((_unpacked(path) / "saved_model.pb").read_bytes())
    return parsed.saved_model_schema_version, len(parsed.meta_graphs), set()


def _by_wire(path: Path) -> Any:
    """Return the same of a reader that goes from field to field: the first of equal ones counts, all are shown."""
    content = (_unpacked(path) / "saved_model.pb").read_bytes()
    listed = [key for key, _ in fields(content)]
    first = by_field(content, choose=lambda first, later: first)
    other = {key for key in listed if key not in (_SCHEMA_VERSION, _META_GRAPHS)}
    return first[_SCHEMA_VERSION], listed.count(_META_GRAPHS), other


def _two_parses(path: Path) -> dict[str, Any]:
    return {"TensorFlow": reading(_by_tensorflow, path), "wire": reading(_by_wire, path)}


def _by_name(path: Path) -> Any:
    """Return the number of graphs of a reader that prefers the text, if there is one."""
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    text = _unpacked(path) / "saved_model.pbtxt"
    if not text.exists():
        return _by_tensorflow(path)
    parsed = text_format.Parse(text.read_text(), saved_model_pb2.SavedModel())
    return parsed.saved_model_schema_version, len(parsed.meta_graphs), set()


def _two_files(path: Path) -> dict[str, Any]:
    return {"binary": reading(_by_tensorflow, path), "text": reading(_by_name, path)}


def _run_metadata(path: Path) -> None:
    """Make the Lambda layers of Keras 2's metadata, as Keras 2 does when it loads a SavedModel."""
    file = _unpacked(path) / "keras_metadata.pb"
    for key, node in fields(file.read_bytes()) if file.exists() else ():
        stated = json.loads(by_field(node, choose=lambda first, later: later)[_METADATA])
        if key == _NODES and stated["class_name"] == "Lambda":
            code = marshal.loads(base64.b64decode(stated["config"]["function"]["code"]))
            types.FunctionType(code, {})("rows")


def _variables_listed(path: Path) -> Any:
    import tensorflow as tf

    return dict(tf.train.list_variables(str(_unpacked(path) / "variables" / "variables")))


def _variables_read(path: Path) -> Any:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(_unpacked(path) / "variables" / "variables"))
    return {
        name: list(shape)
        for name, shape in reader.get_variable_to_shape_map().items()
        if reader.get_tensor(name) is not None
    }


def _two_variables(path: Path) -> dict[str, Any]:
    return {"listed": reading(_variables_listed, path), "read": reading(_variables_read, path)}


def _shards_of_the_index(path: Path) -> Any:
    """Return the files that the index counts: its first entry, which has no key, says how many there are."""
    content = (_unpacked(path) / "variables" / "variables.index").read_bytes()
    count = by_field(content[3 : 3 + content[2]], choose=lambda first, later: later)[_SHARDS]
    return {f"variables.data-{number:05}-of-{count:05}" for number in range(count)}


def _shards_of_the_folder(path: Path) -> Any:
    return {file.name for file in (_unpacked(path) / "variables").glob("*.data-*")}


def _two_shards(path: Path) -> dict[str, Any]:
    return {"index": reading(_shards_of_the_index, path), "folder": reading(_shards_of_the_folder, path)}


LOADERS = {
    "saved_model": Loader(_load_and_call, framework="tensorflow"),
    "saved_model.python": Loader(_load_beside_python, framework="tensorflow"),
    "saved_model.limited": Loader(_load_and_call, "exhausts", "tensorflow"),
    "saved_model.operators": Loader(_load_beside_operators, framework="tensorflow"),
    "saved_model.last": Loader(_load_the_last, framework="tensorflow"),
    "saved_model.metadata": Loader(_run_metadata, framework="tensorflow"),
    "saved_model.parse": Loader(_two_parses, "disagrees", "tensorflow"),
    "saved_model.text": Loader(_two_files, "disagrees", "tensorflow"),
    "variables": Loader(_two_variables, "disagrees", "tensorflow"),
    "variables.shards": Loader(_two_shards, "disagrees", "tensorflow"),
}
