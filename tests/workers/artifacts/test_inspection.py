"""What a file is, is told by its content; the command prints the verdict."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.artifacts.crafting import MODEL_JSON, WEIGHTS_JSON, changed, changed_json, read_entries
from workers.artifacts.formats import FORMATS
from workers.artifacts.inspection import inspect


def archive(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(zipfile.ZipInfo(name), b"content")
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "filename", "identifier", "words"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "model.keras", "ART-02.name_and_content", "a PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "model.pt2", "ART-02.name_and_content", "a JPEG image"),
        (b"%PDF-1.7", "model.keras", "ART-02.name_and_content", "a PDF document"),
        (b"\x7fELF" + bytes(60), "model.pt2", "ART-02.name_and_content", "ELF"),
        (array(), "model.keras", "ART-02.name_and_content", "NumPy array"),
        (b"some text", "model.keras", "ART-02.name_and_content", "no known format"),
        (b"some text", "notes.txt", "ART-02.not_a_model", "no known format"),
        (b"", "model.keras", "ART-02.truncated", "empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(90), "model.h5", "ART-02.hdf5_structure", "versions and sizes"),
        (pickle.dumps([1], protocol=4), "model.pkl", "ART-03.format", "Python pickle"),
        (pickle.dumps([1], protocol=2), "weights.pt", "ART-03.format", "Python pickle"),
        (archive(["x/serialized_exported_program.json"]), "old.pt2", "ART-03.format", "older PyTorch"),
        (archive(["a.txt"]), "model.keras", "ART-02.name_and_content", "holds no model"),
        (archive(["a.txt"]), "a.zip", "ART-02.name_and_content", "holds no model"),
        (archive(["a.txt"]), "archive", "ART-02.not_a_model", "holds no model"),
        (b"\0\0\0\0" + archive(["a.txt"]), "model.keras", "ART-02.prefix_data", "begins at byte 0"),
        (archive(["a.txt"])[:-5], "model.keras", "ART-02.truncated", "cut off"),
    ],
)
def test_a_file_is_named_by_its_content_and_rejected(
    tmp_path: Path, content: bytes, filename: str, identifier: str, words: str
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    inspection = inspect(path, filename=filename)
    assert inspection.verdict == "rejected"
    (finding,) = inspection.findings
    assert finding.id == identifier
    assert words in finding.detail
    if identifier == "ART-03.format":
        assert "Assay takes .keras files (Keras 3), .pt2 files (torch.export), model packages" in finding.detail


def test_a_model_named_as_the_other_format_is_rejected(keras_file: Path, pt2_file: Path) -> None:
    for path, name, kind in ((keras_file, "model.pt2", "keras"), (pt2_file, "model.keras", "pt2")):
        inspection = inspect(path, filename=name)
        assert (inspection.verdict, inspection.format) == ("rejected", kind)
        assert [finding.id for finding in inspection.findings] == ["ART-02.name_and_content"]
        assert FORMATS[kind].title in inspection.reason


def test_the_extension_is_not_needed(keras_file: Path, pt2_file: Path) -> None:
    for path, framework in ((keras_file, "keras"), (pt2_file, "pytorch")):
        inspection = inspect(path, filename="artifact")
        assert (inspection.verdict, inspection.framework) == ("registered", framework)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), which=st.sampled_from(["keras", "pt2"]))
def test_damaged_models_are_a_verdict_and_never_an_exception(
    data: st.DataObject, which: str, keras_file: Path, pt2_file: Path, tmp_path: Path
) -> None:
    content = bytearray((keras_file if which == "keras" else pt2_file).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / f"damaged.{which}"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    inspection = inspect(path, filename=path.name)
    assert inspection.verdict in ("registered", "rejected")
    json.dumps(inspection.to_json(), allow_nan=False)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


def replace_somewhere(data: st.DataObject, document: Any) -> Any:
    """Replace one value somewhere in a JSON document by an arbitrary one."""
    parents: list[tuple[Any, Any]] = []
    level = [document]
    while level:
        item = level.pop()
        keys = list(item) if isinstance(item, dict) else list(range(len(item)))
        parents.extend((item, key) for key in keys)
        level.extend(item[key] for key in keys if isinstance(item[key], dict | list))
    parent, key = parents[data.draw(st.integers(0, len(parents) - 1))]
    if isinstance(parent, dict) and data.draw(st.booleans()):
        parent[data.draw(st.text(max_size=10))] = parent.pop(key)
    else:
        parent[key] = data.draw(_VALUES)
    return document


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), which=st.sampled_from(["keras", "pt2", "weights"]))
def test_json_with_arbitrary_values_is_a_verdict_and_never_an_exception(
    data: st.DataObject, which: str, keras_file: Path, pt2_file: Path, tmp_path: Path
) -> None:
    source = keras_file if which == "keras" else pt2_file
    name = {"keras": "config.json", "pt2": MODEL_JSON, "weights": WEIGHTS_JSON}[which]
    document = replace_somewhere(data, json.loads(read_entries(source)[name]))
    path = changed(source, tmp_path / f"odd{source.suffix}", {name: json.dumps(document).encode()})
    inspection = inspect(path, filename=path.name)
    assert inspection.reason
    json.dumps(inspection.to_json(), allow_nan=False)


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers.artifacts", *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_prints_the_verdict_and_exits_by_it(keras_file: Path, pt2_file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.keras"
    cut.write_bytes(keras_file.read_bytes()[:-1])

    def unknown_operator(document: object) -> None:
        document["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.invented.default"  # type: ignore[index]

    new = changed_json(pt2_file, tmp_path / "new.pt2", MODEL_JSON, unknown_operator)
    for path, verdict, status in (
        (keras_file, "registered", 0),
        (pt2_file, "registered", 0),
        (cut, "rejected", 1),
        (new, "quarantined", 2),
    ):
        done = run_command("inspect", str(path))
        assert done.returncode == status
        document = json.loads(done.stdout)
        assert document["verdict"] == verdict
        assert set(document) == {"verdict", "reason", "framework", "format", "findings"}


@pytest.mark.parametrize("arguments", [["inspect", "/no/such/file"], ["inspect", "/"], ["inspect"], ["explain", "x"]])
def test_what_cannot_be_inspected_exits_with_3_and_says_why(arguments: list[str]) -> None:
    done = run_command(*arguments)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr


def test_an_inspection_imports_no_framework(keras_file: Path, pt2_file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from workers.artifacts.inspection import inspect\n"
        "for name in sys.argv[1:]: assert inspect(Path(name), filename=name).verdict == 'registered'\n"
        "print([name for name in ('torch', 'tensorflow', 'keras', 'django', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(keras_file), str(pt2_file)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
