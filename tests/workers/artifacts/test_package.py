"""Model packages: read to their end without running, refused by name, written anew byte by byte."""

from __future__ import annotations

import json
import tomllib
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import packages, tiny_models
from tests.workers.artifacts.crafting import Touch, outcome, read_entries
from workers.artifacts import strict_toml
from workers.artifacts.inspection import Inspection, inspect
from workers.artifacts.limits import Limits
from workers.artifacts.package.archive import Package
from workers.artifacts.package.manifest import Manifest
from workers.artifacts.rewrite import rewrite
from workers.protocol import digest_of_bytes

ACCEPTED = {"ART-03.package"}
FRAMEWORKS = ["pytorch", "keras"]


@pytest.fixture(scope="session")
def custom_keras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``.keras`` with a layer of its own, written once."""
    return packages.keras_model(tmp_path_factory.mktemp("custom") / "model.keras")


@pytest.fixture
def package(tmp_path: Path, custom_keras: Path) -> Any:
    """Write a package of a framework with some entries changed."""

    def write(framework: str, **changes: Any) -> Path:
        entries = (
            packages.pytorch_entries(**changes)
            if framework == "pytorch"
            else packages.keras_entries(custom_keras, **changes)
        )
        return packages.write(tmp_path / "package.zip", entries)

    return write


def refused(path: Path) -> Any:
    """Return the one finding with which a package is rejected."""
    inspection = inspect(path, filename=path.name, accepted=ACCEPTED)
    assert inspection.verdict == "rejected"
    (finding,) = inspection.findings
    assert finding.place
    return finding


def content_of(inspection: Inspection) -> Package:
    assert isinstance(inspection.content, Package)
    return inspection.content


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_package_waits_until_its_code_is_accepted(package: Any, framework: str) -> None:
    path = package(framework)
    inspection = inspect(path, filename=path.name)
    assert (inspection.verdict, inspection.format, inspection.framework) == ("quarantined", "package", framework)
    (finding,) = inspection.findings
    assert (finding.id, finding.severity) == ("ART-03.package", "medium")
    for name, source in content_of(inspection).sources.items():
        assert content_of(inspection).source_digests[name] == digest_of_bytes(source.content)
        assert f"{name} ({source.line_count} lines, {source.digest[:19]}...)" in finding.detail
    assert inspect(path, filename=path.name, accepted=ACCEPTED).verdict == "registered"


def test_a_reviewer_is_told_what_the_sources_import_and_call(package: Any) -> None:
    code = "import subprocess as s\nimport torch.nn.functional as F\nfrom os import path\nfrom torch import hub\n"
    calls = (
        "\n\ndef build(outputs):\n    s.run(['true'])\n    hub.load('x')\n    path.exists('x')\n    open('x')\n"
        "    getattr(F, 'relu')\n    build.__globals__\n    return Classifier(outputs)\n"
    )
    source = code + packages.MODEL.partition("def build")[0] + calls + "\n\ndef loss(a, b):\n    return a\n"
    inspection = inspect(package("pytorch", model=source), filename="package.zip", accepted=ACCEPTED)
    assert inspection.verdict == "quarantined", "the imports need a word of their own"
    imports = {(finding.place, finding.detail.split("'")[1]) for finding in inspection.findings[1:]}
    assert imports == {("model.py, line 1", "subprocess"), ("model.py, line 3", "os")}
    told = inspection.findings[0].detail
    for call in ("subprocess.run", "torch.hub.load", "os.path.exists", "open", "getattr", "__globals__"):
        assert f"{call} (line" in told
    assert "proves nothing" in told


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_copy_has_the_sources_byte_for_byte_and_is_the_same_however_it_was_packed(
    package: Any, framework: str, tmp_path: Path
) -> None:
    path = package(framework)
    again = tmp_path / "again.zip"
    with zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in reversed(read_entries(path).items()):
            archive.writestr(name, content.replace(b"\n\n", b"\n# a comment\n\n") if name == "assay.toml" else content)
    copies = []
    for source in (path, again):
        inspection = inspect(source, filename="package.zip", accepted=ACCEPTED)
        copy = tmp_path / f"{source.stem}.package"
        rewrite(source, inspection, copy)
        copies.append(copy)
    first, second = (copy.read_bytes() for copy in copies)
    assert first == second
    entries, copied = read_entries(path), read_entries(copies[0])
    assert set(copied) == set(entries)
    assert [entries[name] for name in entries if name.endswith(".py")] == [
        copied[name] for name in entries if name.endswith(".py")
    ]
    assert Manifest.read(copied["assay.toml"]) == Manifest.read(entries["assay.toml"])
    rewritten = inspect(copies[0], filename="rewritten.package", accepted=ACCEPTED)
    assert rewritten.verdict == "registered"


# ----------------------------------------------------------------------------------------------- the archive
@pytest.mark.parametrize(
    ("name", "content", "identifier", "words"),
    [
        ("helper.so", b"\x7fELF", "ART-01.native_code", "compiled code"),
        ("__pycache__/model.cpython-311.pyc", b"\x00", "ART-01.native_code", "compiled code"),
        ("more.zip", b"PK\x03\x04", "ART-02.unknown_entry", "does not belong"),
        ("data.csv", b"a,b", "ART-02.unknown_entry", "does not belong"),
        ("weights.pkl", b"\x80\x04.", "ART-02.unknown_entry", "does not belong"),
        ("train.py", b"import torch", "ART-02.unknown_entry", "imported by no source"),
        ("__init__.py", b"", "ART-02.entry_name", "no name of a module"),
        ("a-b.py", b"", "ART-02.entry_name", "no name of a module"),
        ("layers/__init__.py", b"", "ART-02.duplicate_name", "one module"),
        ("../model.py", b"", "ART-02.entry_name", "plain relative path"),
        ("MODEL.py", b"", "ART-02.duplicate_name", "one name"),
    ],
)
def test_an_entry_that_nothing_names_is_refused(
    package: Any, name: str, content: bytes, identifier: str, words: str
) -> None:
    finding = refused(package("pytorch", **{name: content}))
    assert finding.id == identifier
    assert words in finding.detail


@pytest.mark.parametrize(
    ("framework", "missing"),
    [("pytorch", "weights"), ("pytorch", "layers"), ("keras", "model"), ("keras", "custom_objects")],
)
def test_an_entry_that_is_missing_is_named(package: Any, framework: str, missing: str) -> None:
    finding = refused(package(framework, **{missing: None}))
    assert missing in finding.detail + finding.place


def test_limits_hold_for_sources_and_for_the_archive_inside(package: Any) -> None:
    big = packages.MODEL + "#" * (256 * 1024)
    assert refused(package("pytorch", model=big)).id == "ART-02.too_large"
    bomb = BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 2_000_000)
    for limits, framework, changes in (
        (Limits(source_bytes=100), "pytorch", {}),
        (Limits(total_bytes=1_000_000), "keras", {"model": bomb.getvalue()}),
    ):
        inspection = inspect(package(framework, **changes), filename="package.zip", limits=limits)
        assert [finding.id for finding in inspection.findings] == ["ART-02.too_large"]


# ------------------------------------------------------------------------------------------------- assay.toml
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('framework = "pytorch"', 'framework = "pytorch"\nframework = "keras"', "overwrite"),
        ('framework = "pytorch"', 'framework = "tensorflow"', "one of"),
        ("[package]", "[package]\nframework.name = 1", "overwrite"),
        ("[package]", "extra = 1\n[package]", "'extra'"),
        ("[package]", "[package]\ncommand = 'rm'", "'command'"),
        ("[package.arguments]", "[[package.arguments]]", "table of plain values"),
        ("outputs = 2", "outputs = {a = 1}", "text, a number"),
        ("outputs = 2", '"a b" = 2', "no name of an argument"),
        ("outputs = 2", f"outputs = {'9' * 5000}", "strict TOML"),
        ("outputs = 2", f"outputs = {2**64}", "64 bits"),
        ("outputs = 2", "outputs = nan", "finite number"),
        ("outputs = 2", "outputs = 1979-05-27", "finite number"),
        ("outputs = 2", f"outputs = {'[' * 2000}{']' * 2000}", "nested"),
        ("outputs = 2", f"outputs = {'[' * 9}{']' * 9}", "nested"),
        ('"model:build"', '"../model:build"', "names a factory"),
        ('"model:build"', '"os:system"', "does not have"),
        ('"model:build"', '"model:__import__"', "'__import__'"),
        ('"model:build"', '"model.py:build"', "does not have"),
        ('"model:build"', '"model:Module"', "'Module'"),
        ('"model:build"', '"model:build()"', "names a factory"),
        ('"model:build"', "3", "is a text"),
        ('"weights.safetensors"', '"assay.toml"', "ends in .safetensors"),
        ('"weights.safetensors"', '"/etc/a.safetensors"', "which is not there"),
        ('loss = "model:loss"', 'loss = "model:missing"', "'missing'"),
        ('loss = "model:loss"', 'loss = "invented"', "not known"),
        ("shape = [-1, 2]", "shape = [2, 2]", "-1, the batch"),
        ("[recipe]", "\x00[recipe]", "strict TOML"),
        ("[recipe]", "\ufeff[recipe]", "strict TOML"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(package: Any, old: str, new: str, words: str) -> None:
    changed = packages.PYTORCH_TOML.replace(old, new, 1)
    assert changed != packages.PYTORCH_TOML
    finding = refused(package("pytorch", assay=changed))
    assert finding.id in ("ART-02.toml", "ART-02.package", "ART-02.missing_entry", "ART-02.unknown_entry")
    assert words in finding.detail


def test_a_pytorch_package_without_a_signature_is_refused(package: Any) -> None:
    finding = refused(package("pytorch", assay=packages.PYTORCH_TOML.replace(packages.SIGNATURE, "")))
    assert "states no inputs and outputs" in finding.detail


def test_a_keras_package_may_leave_the_signature_out(package: Any) -> None:
    path = package("keras", assay=packages.KERAS_TOML.replace(packages.SIGNATURE, ""))
    assert inspect(path, filename=path.name, accepted=ACCEPTED).verdict == "registered"


_PLAIN = st.text() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
_KEYS = st.text(min_size=1, max_size=8)
_TABLES = st.dictionaries(
    _KEYS, _PLAIN | st.lists(_PLAIN, max_size=3) | st.dictionaries(_KEYS, _PLAIN, max_size=3), max_size=4
)


@settings(max_examples=150, deadline=None)
@given(document=_TABLES, listed=st.lists(_TABLES, min_size=1, max_size=3))
def test_what_is_written_as_toml_is_read_as_the_same(document: dict[str, Any], listed: list[Any]) -> None:
    whole = {"one": document, "many": listed}
    assert tomllib.loads(strict_toml.write(whole)) == whole


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_toml_or_a_refusal(content: bytes) -> None:
    document, finding = outcome(lambda: strict_toml.parse(content, "x"))
    assert isinstance(document, dict) if finding is None else finding.id == "ART-02.toml"


# ---------------------------------------------------------------------------------------------------- sources
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("# -*- coding: latin-1 -*-", "the encoding 'latin-1'"),
        ("# vim: set fileencoding=utf-7 :", "the encoding 'utf-7'"),
        ("#\u202e hidden", "does not show"),
        ("x = 'a\u200bb'", "does not show"),
        ("# comment\rimport os", "does not show"),
        ("# comment\x0cimport os", "does not show"),
        ("\x00", "does not show"),
        ("\ufeff", "does not show"),
        ("def", "not Python"),
        ("x = " + "-" * 200_000 + "1", "nested too deeply"),
        ("x = " + "(" * 300 + ")" * 300, "not Python"),
        ("from . import missing", "no source for the module 'missing'"),
        ("from .missing import thing", "no source for the module 'missing'"),
        ("from ..outside import thing", "leads out of the package"),
        ("import layers", "`from .layers import ...`"),
        ("from layers import Affine", "`from .layers import ...`"),
    ],
)
def test_a_source_with_another_reading_is_refused_with_its_line(package: Any, line: str, words: str) -> None:
    finding = refused(package("pytorch", model=line + "\n" + packages.MODEL))
    assert finding.id == "ART-02.source"
    assert words in finding.detail
    assert finding.place.startswith("model.py")


def test_a_source_that_is_not_utf8_is_refused_with_its_byte(package: Any) -> None:
    finding = refused(package("pytorch", model=b"# caf\xe9\n" + packages.MODEL.encode()))
    assert (finding.id, finding.place) == ("ART-02.source", "model.py, byte 5")


def test_a_source_may_declare_what_it_is_and_use_other_letters(package: Any) -> None:
    path = package("pytorch", model="# -*- coding: utf-8 -*-\r\n# Größe: naïve, 数据\n" + packages.MODEL)
    assert inspect(path, filename=path.name, accepted=ACCEPTED).verdict == "registered"


def test_sources_may_lie_in_folders(package: Any) -> None:
    entries = {
        "model": packages.MODEL.replace("from .layers", "from .parts.affine"),
        "parts/__init__.py": "from . import affine\n",
        "parts/affine.py": packages.LAYERS,
        "layers": None,
    }
    inspection = inspect(package("pytorch", **entries), filename="package.zip", accepted=ACCEPTED)
    assert inspection.verdict == "registered", inspection.reason
    assert set(content_of(inspection).sources) == {"model.py", "parts/__init__.py", "parts/affine.py"}


# ---------------------------------------------------------------------------------------------- what lies inside
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda header: header["answer.bias"].update(data_offsets=[8, 16]), "the one before it ends"),
        (lambda header: header["answer.bias"].update(data_offsets=[16, 20]), "need 8 bytes"),
        (lambda header: header["answer.bias"].update(dtype="OBJ"), "no known dtype"),
        (lambda header: header["answer.bias"].update(shape=[-2]), "whole numbers from 0"),
        (lambda header: header["answer.bias"].update(shape=[2**47, 2**47, 2**47]), "need"),
        (lambda header: header["answer.bias"].update(extra=1), "and nothing else"),
        (lambda header: header.pop("answer.bias"), "the file ends at"),
        (lambda header: header.update(__metadata__={"a": 1}), "object of texts"),
    ],
)
def test_weights_that_could_be_read_in_two_ways_are_refused(package: Any, change: Any, words: str) -> None:
    whole = packages.pytorch_entries()["weights.safetensors"]
    assert isinstance(whole, bytes)
    end = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:end])
    change(header)
    text = json.dumps(header).encode()
    finding = refused(package("pytorch", weights=len(text).to_bytes(8, "little") + text + whole[end:]))
    assert finding.id in ("ART-02.tensors", "ART-02.suffix_data")
    assert words in finding.detail
    assert finding.place.startswith("weights.safetensors: ")


def state_dict(*, legacy: bool = False, **more: Any) -> bytes:
    """Return the weights of the package as ``torch.save`` writes them."""
    import torch

    tensors = {
        "answer.weight": torch.from_numpy(tiny_models.LINEAR_WEIGHTS),
        "answer.bias": torch.from_numpy(tiny_models.LINEAR_BIAS),
    }
    buffer = BytesIO()
    torch.save({**tensors, **more}, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


AS_CHECKPOINT = packages.PYTORCH_TOML.replace("weights.safetensors", "checkpoint.pt")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "stream"])
def test_a_state_dict_becomes_the_same_safetensors(package: Any, legacy: bool, tmp_path: Path) -> None:
    copies = []
    for changes in (
        {},
        {"assay": AS_CHECKPOINT, "weights": None, "checkpoint.pt": state_dict(legacy=legacy)},
    ):
        inspection = inspect(package("pytorch", **changes), filename="package.zip", accepted=ACCEPTED)
        assert inspection.verdict == "registered", inspection.reason
        copy = tmp_path / f"{len(copies)}.package"
        rewrite(tmp_path / "package.zip", inspection, copy)
        copies.append(copy.read_bytes())
    assert copies[0] == copies[1]


def test_a_state_dict_that_runs_code_is_refused_and_does_not_run(package: Any, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    checkpoint = state_dict(more=Touch(marker))
    finding = refused(package("pytorch", **{"assay": AS_CHECKPOINT, "weights": None, "checkpoint.pt": checkpoint}))
    assert (finding.id, finding.severity) == ("ART-01.pickle", "critical")
    assert finding.place.startswith("checkpoint.pt: ")
    assert not marker.exists()


def test_weights_are_what_their_name_says(package: Any) -> None:
    finding = refused(package("pytorch", weights=state_dict()))
    assert finding.id == "ART-02.name_and_content"
    assert "is a PyTorch state dict (torch.save); its name promises a safetensors file" in finding.detail


def test_what_is_told_of_the_weights_names_their_entry(package: Any) -> None:
    changes = {"assay": AS_CHECKPOINT, "weights": None, "checkpoint.pt": state_dict(epoch=3)}
    inspection = inspect(package("pytorch", **changes), filename="package.zip", accepted=ACCEPTED)
    assert inspection.verdict == "registered"
    (told,) = [finding for finding in inspection.findings if finding.id == "ART-03.left_out"]
    assert told.place.startswith("checkpoint.pt")


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"[]", b"PK\x03\x04" + bytes(40)])
def test_weights_that_are_none_are_refused(package: Any, content: bytes) -> None:
    assert refused(package("pytorch", weights=content)).place.startswith("weights.safetensors")


def changed_config(custom_keras: Path, change: Any) -> bytes:
    entries = read_entries(custom_keras)
    config = json.loads(entries["config.json"])
    change(config["config"]["layers"][1])
    entries["config.json"] = json.dumps(config).encode()
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("change", "identifier"),
    [
        ({"registered_name": "other>Affine"}, "ART-01.keras_class"),
        ({"registered_name": None}, "ART-01.keras_class"),
        ({"class_name": "Popen", "module": "subprocess"}, "ART-01.keras_class"),
        ({"class_name": "Lambda", "module": "keras.layers", "registered_name": None}, "ART-01.lambda"),
        ({"class_name": "Lambda", "registered_name": "tiny>Affine"}, "ART-01.lambda"),
    ],
)
def test_a_model_may_name_only_what_its_source_defines(
    package: Any, custom_keras: Path, change: dict[str, Any], identifier: str
) -> None:
    model = changed_config(custom_keras, lambda layer: layer.update(change))
    inspection = inspect(package("keras", model=model), filename="package.zip", accepted=ACCEPTED)
    assert inspection.verdict == "rejected"
    assert identifier in {finding.id for finding in inspection.findings}


def test_a_custom_object_cannot_stand_in_the_way_of_keras_own(package: Any, custom_keras: Path) -> None:
    """Keras would take the custom ``Dense`` for its own one."""

    def shadow(layer: dict[str, Any]) -> None:
        layer.update(class_name="Dense", module="custom_objects", registered_name="Dense")

    source = packages.CUSTOM_OBJECTS.replace('@keras.saving.register_keras_serializable(package="tiny")\n', "")
    path = package(
        "keras",
        custom_objects=source.replace("class Affine", "class Dense"),
        model=changed_config(custom_keras, shadow),
    )
    inspection = inspect(path, filename=path.name, accepted=ACCEPTED)
    assert "ART-01.keras_class" in {finding.id for finding in inspection.findings}


def test_what_a_model_names_beside_a_package_stays_refused(custom_keras: Path) -> None:
    inspection = inspect(custom_keras, filename="model.keras", accepted=ACCEPTED)
    assert {finding.id for finding in inspection.findings} == {"ART-01.keras_class", "ART-01.keras_function"}


def test_an_inspection_runs_nothing_and_imports_no_framework(package: Any, tmp_path: Path) -> None:
    import subprocess
    import sys

    marker = tmp_path / "marker"
    path = package("pytorch", model=f"open({str(marker)!r}, 'w')\n" + packages.MODEL)
    code = (
        "import sys; from pathlib import Path; from workers.artifacts.inspection import inspect\n"
        "from workers.artifacts.rewrite import rewrite\n"
        "path = Path(sys.argv[1]); found = inspect(path, filename='p.zip', accepted=['ART-03.package'])\n"
        "rewrite(path, found, Path(sys.argv[2]))\n"
        "print([name for name in ('torch', 'keras', 'safetensors', 'model') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "p.package")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert not marker.exists()
