"""Texts: one normal form, measures, token ids that never change, and a zip of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.datasets.pictures import archive, imported
from workers.datasets.canonical import tensor_values
from workers.datasets.schema import Schema, SchemaError, Tokens
from workers.datasets.texts.columns import of_texts
from workers.datasets.texts.words import hash_of, id_of, normalised, words_of
from workers.protocol import JobError

SURROGATES = st.characters(blacklist_categories=["Cs"])


def text_schema(tokens: dict[str, int] | None = None, **columns: str) -> dict[str, Any]:
    text: dict[str, Any] = {"role": "feature", "type": "text"}
    entries: dict[str, Any] = {name: {"role": role, "type": "category"} for name, role in columns.items()}
    return {"modality": "text", "columns": {"text": text | ({"tokens": tokens} if tokens else {}), **entries}}


def measures(*texts: str | None) -> dict[str, list[Any]]:
    columns, _ = of_texts(pa.array(texts, pa.string()))
    return {word: column.to_pylist() for word, column in columns.items()}


@pytest.mark.parametrize(
    ("text", "normal", "words"),
    [
        ("  Hello,\n\tWORLD!  ", "hello, world!", ["hello", "world"]),
        ("Straße ＡＢＣ ﬁne", "strasse abc fine", ["strasse", "abc", "fine"]),
        ("don't e-mail me_2", "don't e-mail me_2", ["don", "t", "e", "mail", "me_2"]),
        ("日本語 text", "日本語 text", ["日", "本", "語", "text"]),
        ("Ünïcodé 3.14", "ünïcodé 3.14", ["ünïcodé", "3", "14"]),
        ("", "", []),
        (" \n ", "", []),
        ("👩‍👩‍👧", "👩‍👩‍👧", []),
    ],
)
def test_texts_have_one_form_and_words(text: str, normal: str, words: list[str]) -> None:
    assert normalised(text) == normal
    assert words_of(normal) == words


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(SURROGATES))
def test_the_normal_form_is_its_own(text: str) -> None:
    normal = normalised(text)
    assert normalised(normal) == normal
    assert hash_of(normalised(text.upper().lower())) == hash_of(normalised(text.upper()))


def test_equal_but_for_case_width_and_white_space_means_an_equal_hash() -> None:
    hashes = measures("Same  text", "same\ntext ", "ＳＡＭＥ text", "other text")["hash"]
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]
    assert len(hashes[0]) == 16


def test_measures_of_texts() -> None:
    found = measures("one two\none two\n\nthree", "a\x00\x07b\u202ec\t", "👩‍👧", "", None)
    assert found["length"] == [22, 7, 3, 0, None]
    assert found["words"] == [5, 3, 0, 0, None]
    assert found["control_characters"] == [0, 3, 0, 0, None]
    assert found["repeated_lines"] == [pytest.approx(1 / 3, abs=1e-6), 0, 0, 0, None]
    assert found["hash"][4] is None


def test_languages_are_told_where_the_text_says_enough() -> None:
    found = measures(
        "The service was slow and the food was cold, but the waiter was kind.",
        "Der Dienst war langsam, aber das Essen war gut und reichlich.",
        "Le chat est assis sur la table et regarde par la fenêtre.",
        "12345",
        "",
    )
    assert found["language"] == ["en", "de", "fr", None, None]
    assert min(found["language_confidence"][:3]) > 0.9 > 0.5 > max(found["language_confidence"][3:])


def test_token_ids_are_these_and_stay_these() -> None:
    """A model that was trained on ids keeps its meaning: these numbers are a promise."""
    assert [id_of(word, 4096) for word in ("good", "bad", "日")] == [2888, 3496, 2890]
    assert id_of("anything", 2) == 1


def test_ids_are_cut_and_padded_and_a_missing_text_has_none() -> None:
    _, ids = of_texts(pa.array(["b a a c d", "A", "", None]), Tokens(length=3, size=50))
    assert ids is not None
    assert ids.type == pa.fixed_shape_tensor(pa.int32(), [3])
    a, b = id_of("a", 50), id_of("b", 50)
    assert tensor_values(ids)[:3].tolist() == [[b, a, a], [a, 0, 0], [0, 0, 0]]
    assert ids.is_valid().to_pylist() == [True, True, True, False]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.text(SURROGATES), min_size=1), st.integers(2, 40), st.integers(1, 9))
def test_ids_lie_within_the_size(texts: list[str], size: int, length: int) -> None:
    _, ids = of_texts(pa.array(texts, pa.string()), Tokens(length=length, size=size))
    values = tensor_values(ids)
    assert values.shape == (len(texts), length)
    assert values.min() >= 0
    assert values.max() < size
    counts = [min(length, len(words_of(normalised(text)))) for text in texts]
    assert np.count_nonzero(values, axis=1).tolist() == counts


@pytest.mark.parametrize(
    "tokens",
    [{"length": 0, "size": 9}, {"length": 4, "size": 1}, {"length": True, "size": 9}, {"length": 4}, [4, 9], 7,
     {"length": 4, "size": 9, "seed": 1}, {"length": 10**9, "size": 9}],
)  # fmt: skip
def test_tokens_that_are_none_are_told(tokens: Any) -> None:
    with pytest.raises(SchemaError, match="tokens"):
        Schema.from_json(text_schema(tokens))


def test_only_a_text_has_tokens_and_a_schema_keeps_them() -> None:
    document = text_schema({"length": 4, "size": 9}, label="target")
    assert Schema.from_json(document).to_json() == document
    document["columns"]["label"]["tokens"] = {"length": 4, "size": 9}
    with pytest.raises(SchemaError, match="a text column may"):
        Schema.from_json(document)


def test_a_text_column_of_a_csv_gets_its_metadata_and_tokens(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("text,label\nGood film,yes\n,no\n")
    value, table, _ = imported(tmp_path, path, text_schema({"length": 4, "size": 100}, label="target"))
    assert table["text.words"].to_pylist() == [2, None]
    assert table["text.tokens"].null_count == 1
    columns = value["schema"]["columns"]
    assert columns["text.tokens"] == {"role": "feature", "type": "tokens", "shape": [4]}
    assert columns["text.language"] == {"role": "metadata", "type": "category"}
    assert [entry["text"] for entry in value["media"]["text"]["texts"]] == ["Good film"] * 3
    again, _, _ = imported(tmp_path, path, value["schema"])
    assert again["content_digest"] == value["content_digest"]
    assert again["schema"] == value["schema"]


def test_a_saved_table_is_uploaded_again_as_the_same_content(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("text,label\nGood film,yes\nbad film,no\n")
    value, _, outputs = imported(tmp_path, path, text_schema({"length": 4, "size": 100}, label="target"))
    again, _, _ = imported(tmp_path, outputs / "table.parquet", value["schema"])
    assert again["content_digest"] == value["content_digest"]


def test_a_column_with_a_derived_name_is_refused_unless_it_is_metadata(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("text,text.length\nGood film,7\n")
    schema = text_schema()
    schema["columns"]["text.length"] = {"role": "feature", "type": "integer"}
    with pytest.raises(JobError) as refused:
        imported(tmp_path, path, schema)
    assert (refused.value.code, refused.value.place) == ("duplicate_columns", "text.length")
    schema["columns"]["text.length"]["role"] = "metadata"
    assert imported(tmp_path, path, schema)[1]["text.length"].to_pylist() == [9]


def test_a_zip_of_texts_in_class_folders(tmp_path: Path) -> None:
    files = {
        "reviews/pos/1.txt": "Ein schöner Film".encode(),
        "reviews/neg/1.txt": b"\xef\xbb\xbfbad film",
        "reviews/neg/2.txt": b"caf\xe9",
        "reviews/neg/3.txt": b"a\0b",
        "reviews/pos/4.txt": b"",
        "reviews/pos/5.txt": b"BMW is no image, though it begins like one",
    }
    value, table, _ = imported(tmp_path, archive(tmp_path / "data.zip", files))
    assert value["schema"]["modality"] == "text"
    assert table["text"].to_pylist()[:3] == ["Ein schöner Film", "bad film", None]
    assert table["label"].to_pylist() == ["pos", "neg", "neg", "neg", "pos", "pos"]
    problems = table["text.problem"].to_pylist()
    assert problems[0] is None
    assert "byte 3 (0xe9)" in problems[2]
    assert "byte 1 is zero" in problems[3]
    assert problems[4:] == [None, None]
    assert table["text.length"].to_pylist() == [16, 8, None, None, 0, 42]
    assert value["schema"]["columns"]["text.problem"] == {"role": "metadata", "type": "string"}
    assert value["media"]["text"]["problem_count"] == 2


def test_a_zip_of_texts_with_a_label_table_and_tokens(tmp_path: Path) -> None:
    files = {"1.txt": b"good film", "2.txt": b"bad film", "labels.csv": b"file,label\n2.txt,0\n1.txt,1\n"}
    schema = text_schema({"length": 2, "size": 64}, label="target")
    schema["columns"] |= {"file": {"role": "id", "type": "string"}, "label": {"role": "target", "type": "integer"}}
    value, table, _ = imported(tmp_path, archive(tmp_path / "data.zip", files), schema)
    assert table["text"].to_pylist() == ["bad film", "good film"]
    assert table["label"].to_pylist() == [0, 1]
    ids = tensor_values(table["text.tokens"].chunk(0)).tolist()
    assert ids == [[id_of("bad", 64), id_of("film", 64)], [id_of("good", 64), id_of("film", 64)]]
    assert value["schema"]["columns"]["text"]["tokens"] == {"length": 2, "size": 64}


def test_texts_with_control_characters_do_not_reach_a_page(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"text": ["a\x00b\x1b[31m\u202e", "x" * 900]}), path)
    value, _, _ = imported(tmp_path, path, text_schema())
    texts = [entry["text"] for entry in value["media"]["text"]["texts"]]
    assert texts[0] == "a\ufffdb\ufffd[31m\ufffd"
    assert max(map(len, texts)) == 401
