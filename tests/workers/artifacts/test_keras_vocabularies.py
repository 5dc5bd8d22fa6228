"""The vocabulary files of a ``.keras`` are those that its layers need, one word a line in every reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers.artifacts import keras_models
from tests.workers.artifacts.crafting import changed
from workers.artifacts.findings import Finding
from workers.artifacts.inspection import inspect
from workers.artifacts.keras import assets

STRINGS, NUMBERS = "assets/layers/string_lookup/vocabulary.txt", "assets/layers/integer_lookup/vocabulary.txt"
INNER = "assets/layers/text_vectorization/_lookup_layer/vocabulary.txt"


@pytest.fixture(scope="module")
def lookups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lookups") / "model.keras"
    keras_models.adapted_lookups().save(path)
    return path


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("words") / "model.keras"
    keras_models.adapted_words().save(path)
    return path


def finding_of(source: Path, target: Path, changes: dict[str, bytes | None]) -> Finding:
    inspection = inspect(changed(source, target, changes), filename=target.name)
    assert inspection.verdict == "rejected"
    (finding,) = inspection.findings
    return finding


@pytest.mark.parametrize(
    ("changes", "identifier", "detail"),
    [
        ({"assets/code.py": b"x"}, "ART-02.unknown_entry", "asset of no layer"),
        ({"assets/layers/string_lookup_1/vocabulary.txt": b"x"}, "ART-02.unknown_entry", "asset of no layer"),
        ({"assets/layers/dense/vocabulary.txt": b"x"}, "ART-02.unknown_entry", "asset of no layer"),
        ({STRINGS: None}, "ART-02.missing_entry", "The StringLookup layer has no vocabulary"),
        ({STRINGS: b"[UNK]\n\xff\xfe"}, "ART-02.vocabulary", "Byte 6 of the vocabulary is not UTF-8"),
        ({STRINGS: b"[UNK]\na\r\nb"}, "ART-02.vocabulary", "end of a line"),
        ({STRINGS: "[UNK]\na\u2028b".encode()}, "ART-02.vocabulary", "end of a line"),
        ({STRINGS: b"[UNK]\na\na"}, "ART-02.vocabulary", "Line 3 of the vocabulary ('a')"),
        ({STRINGS: b"[UNK]\na\n\nb"}, "ART-02.vocabulary", "Line 3 of the vocabulary ('')"),
        ({STRINGS: b"[UNK]\na\n"}, "ART-02.vocabulary", "Line 3 of the vocabulary ('')"),
        ({STRINGS: b"[UNK]\na\0b"}, "ART-02.vocabulary", "Line 2"),
        ({NUMBERS: b"-1\n5\neval('1')"}, "ART-02.vocabulary", "a line that is no number"),
        ({NUMBERS: b"-1\n5\n9" + b"9" * 5000}, "ART-02.vocabulary", "a line that is no number"),
    ],
)
def test_a_vocabulary_that_is_not_one_word_a_line_of_a_layer_is_refused(
    lookups: Path, tmp_path: Path, changes: dict[str, bytes | None], identifier: str, detail: str
) -> None:
    finding = finding_of(lookups, tmp_path / "hostile.keras", changes)
    assert finding.id == identifier
    assert detail in finding.detail
    assert finding.place == next(iter(changes))


def test_two_files_that_keras_reads_for_one_layer_have_to_agree(words: Path, tmp_path: Path) -> None:
    finding = finding_of(words, tmp_path / "hostile.keras", {INNER: b"\n[UNK]\nother\nwords"})
    assert (finding.id, finding.place) == ("ART-02.vocabulary", INNER)


def test_a_vocabulary_of_too_many_lines_is_refused(
    lookups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "_MAX_LINES", 3)
    finding = finding_of(lookups, tmp_path / "large.keras", {STRINGS: b"[UNK]\na\nb\nc"})
    assert finding.id == "ART-02.too_large"


def test_words_that_look_like_code_are_words(lookups: Path, tmp_path: Path) -> None:
    content = b"[UNK]\n__import__('os').system('x')\n../../etc/passwd\nposix\tsystem\n<script>"
    path = changed(lookups, tmp_path / "benign.keras", {STRINGS: content})
    assert inspect(path, filename=path.name).verdict == "registered"
