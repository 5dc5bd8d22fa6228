"""What is shown beside attributions: the nearest rows of a table, pictures, and the words of texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audits.engine.explainers.players import players_of
from audits.engine.explanation import media, neighbours
from audits.engine.explanation.neighbours import write_neighbours
from tests.audits.engine.explained import NumpyModel
from tests.audits.engine.explanation_jobs import NAMES, lay, numbers_table
from workers.datasets.canonical import tensor_array
from workers.datasets.schema import Schema
from workers.datasets.texts.words import id_of
from workers.signature import Signature


def table_schema(types: dict[str, str], modality: str = "tabular") -> Schema:
    columns = {name: {"role": "feature", "type": kind} for name, kind in types.items()}
    return Schema.from_json({"modality": modality, "columns": columns})


def nearest(
    tmp_path: Path,
    candidates: dict[str, list[Any]],
    rows: list[list[float]],
    schema: Schema,
    **options: Any,
) -> dict[str, np.ndarray]:
    """Write a table and return what is found near some rows."""
    pq.write_table(pa.table(candidates), tmp_path / "table.parquet")
    names = list(candidates)
    signature = Signature.from_json(
        {
            "inputs": [{"name": "x", "shape": [-1, len(names)], "dtype": "float32", "columns": names}],
            "outputs": [{"name": "y", "shape": [-1, 1], "dtype": "float32", "kind": "value"}],
        }
    )
    count = len(next(iter(candidates.values())))
    found = write_neighbours(
        tmp_path / "neighbours.npz",
        tmp_path / "table.parquet",
        options.pop("available", np.arange(count)),
        np.asarray(rows, dtype=np.float64),
        options.pop("own", None),
        players=players_of(signature, schema, groups=options.pop("groups", None)),
        schema=schema,
        signature=signature,
        seed=0,
        folder=tmp_path,
        **options,
    )
    assert found is not None
    with np.load(tmp_path / "neighbours.npz", allow_pickle=False) as arrays:
        return {
            **{name: arrays[name] for name in arrays.files},
            "counts": np.array([found.candidates, found.available]),
        }


FLOATS = table_schema({"a": "float", "b": "float"})


class TestNeighbours:
    def test_distances_are_in_standard_deviations(self, tmp_path: Path) -> None:
        # Deviations 2 and 200: one step in b is as far as a hundred times as much in a.
        found = nearest(tmp_path, {"a": [0.0, 4.0, 0.0, 4.0], "b": [0.0, 0.0, 400.0, 400.0]}, [[0.0, 100.0]], FLOATS)
        assert found["row_numbers"].tolist() == [[0, 2, 1]]
        np.testing.assert_allclose(found["distances"], [[0.5, 1.5, np.hypot(2, 0.5)]], rtol=1e-12)
        assert found["data"].tolist() == [[[0, 0], [0, 400], [4, 0]]]

    def test_a_row_of_the_same_table_is_not_its_own_neighbour(self, tmp_path: Path) -> None:
        columns = {"a": [0.0, 1.0, 2.0, 9.0], "b": [0.0, 0.0, 0.0, 0.0]}
        found = nearest(tmp_path, columns, [[1.0, 0.0]], FLOATS, own=np.array([1]))
        assert found["row_numbers"].tolist() == [[0, 2, 3]]

    def test_the_same_row_of_another_table_is(self, tmp_path: Path) -> None:
        found = nearest(tmp_path, {"a": [0.0, 1.0, 2.0, 9.0], "b": [0.0] * 4}, [[1.0, 0.0]], FLOATS)
        assert found["row_numbers"][0, 0] == 1
        assert found["distances"][0, 0] == 0

    def test_only_rows_of_the_part_are_neighbours(self, tmp_path: Path) -> None:
        columns = {"a": [0.0, 1.0, 2.0, 3.0, 9.0], "b": [0.0] * 5}
        found = nearest(tmp_path, columns, [[1.0, 0.0]], FLOATS, available=np.array([0, 3, 4]))
        assert found["row_numbers"].tolist() == [[0, 3, 4]]

    def test_of_rows_as_near_the_first_comes_first(self, tmp_path: Path) -> None:
        found = nearest(tmp_path, {"a": [5.0, 1.0, 1.0, 1.0, 1.0], "b": [0.0] * 5}, [[1.0, 0.0]], FLOATS)
        assert found["row_numbers"].tolist() == [[1, 2, 3]]

    def test_a_row_without_a_value_is_no_neighbour_and_of_few_all_are_written(self, tmp_path: Path) -> None:
        found = nearest(tmp_path, {"a": [0.0, None, np.inf, 1.0], "b": [0.0] * 4}, [[0.0, 0.0]], FLOATS)
        assert found["row_numbers"].tolist() == [[0, 3]]
        assert found["distances"].tolist() == [[0.0, 2.0]]
        assert found["data"].tolist() == [[[0.0, 0.0], [1.0, 0.0]]]
        assert found["counts"].tolist() == [2, 4]

    def test_without_a_candidate_there_is_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = lay(tmp_path / "job", monkeypatch, table=numbers_table(1), rows=[0])
        assert folder.run()["summary"]["neighbours"] is None
        assert not (folder.path / "outputs" / "neighbours.npz").exists()

    def test_a_boolean_counts_one_where_it_differs(self, tmp_path: Path) -> None:
        schema = table_schema({"a": "float", "b": "boolean"})
        columns = {"a": [0.0, 0.2, 2.0, 4.0], "b": [False, True, True, False]}
        found = nearest(tmp_path, columns, [[0.0, 1.0]], schema)
        deviation = np.std([0.0, 0.2, 2.0, 4.0])
        assert found["row_numbers"].tolist() == [[1, 0, 2]]
        np.testing.assert_allclose(found["distances"][0, :2], [0.2 / deviation, 1.0])

    def test_an_identifier_counts_one_however_far_its_number(self, tmp_path: Path) -> None:
        schema = table_schema({"user": "integer", "item": "integer"}, modality="interactions")
        found = nearest(tmp_path, {"user": [1, 500, 2, 1], "item": [7, 7, 8, 9]}, [[1.0, 7.0]], schema)
        assert found["row_numbers"].tolist() == [[0, 1, 3]]
        assert found["distances"].tolist() == [[0.0, 1.0, 1.0]]

    def test_a_group_of_columns_counts_one_where_another_of_them_is_1(self, tmp_path: Path) -> None:
        schema = table_schema({"red": "float", "green": "float", "a": "float"})
        columns = {"red": [1.0, 0.0, 0.0, 1.0], "green": [0.0, 1.0, 1.0, 0.0], "a": [0.0, 0.0, 3.0, 9.0]}
        found = nearest(tmp_path, columns, [[0.0, 0.0]], schema, groups={"colour": ["red", "green"]})
        assert found["row_numbers"].tolist() == [[0, 1, 2]]
        assert found["distances"][0, 0] == 0
        assert found["data"][0, 0].tolist() == [0.0, 0.0]
        np.testing.assert_allclose(found["distances"][0, 1:], [1.0, np.hypot(1, 3 / np.std(columns["a"]))])

    def test_blocks_find_what_a_search_of_everything_finds(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        generator = np.random.default_rng(3)
        candidates, rows = generator.normal(size=(200, 2)), generator.normal(size=(31, 2))
        monkeypatch.setattr(neighbours, "_ROWS", 7)
        monkeypatch.setattr(neighbours, "_CANDIDATES", 2)
        found = nearest(tmp_path, {"a": candidates[:, 0], "b": candidates[:, 1]}, rows.tolist(), FLOATS)  # type: ignore[dict-item]
        away = np.sqrt((((rows[:, None] - candidates[None]) / candidates.std(axis=0)) ** 2).sum(axis=2))
        np.testing.assert_array_equal(found["row_numbers"], np.argsort(away, axis=1)[:, :3])
        np.testing.assert_allclose(found["distances"], np.sort(away, axis=1)[:, :3])

    def test_of_many_candidates_a_sample_is_looked_through_and_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neighbours, "MOST_PAIRS", 10)
        found = nearest(tmp_path, {"a": list(np.arange(50.0)), "b": [0.0] * 50}, [[0.0, 0.0], [1.0, 0.0]], FLOATS)
        assert found["counts"].tolist() == [5, 50]

    def test_a_job_writes_them_of_the_background_part(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = lay(tmp_path / "job", monkeypatch, rows=[3, 5])
        value = folder.run()
        assert value["summary"]["neighbours"] == {"candidates": 60, "available": 60}
        arrays = folder.arrays("neighbours.npz")
        assert {name: array.shape for name, array in arrays.items()} == {
            "row_numbers": (2, 3),
            "distances": (2, 3),
            "data": (2, 3, 6),
        }
        assert not (arrays["row_numbers"] == [[3], [5]]).any(), "the background is the same table"
        everything = np.stack([numbers_table(60).column(name).to_numpy() for name in NAMES], axis=1)
        np.testing.assert_array_equal(arrays["data"], everything[arrays["row_numbers"]])
        other = lay(tmp_path / "other", monkeypatch, rows=[3, 5], background=numbers_table(61))
        other.run()
        assert (other.arrays("neighbours.npz")["row_numbers"] == [[3], [5]]).sum() == 0, "other numbers, other rows"


IMAGE = {"name": "answer", "shape": [-1, 3], "dtype": "float64", "kind": "logits", "classes": ["0", "1", "2"]}


def image_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: np.ndarray, **more: Any) -> Any:
    shape = list(pixels.shape[1:])
    kernel = np.random.default_rng(6).normal(size=(pixels[0].size, 3))
    model = NumpyModel(
        lambda held, inputs: np.tanh(inputs["image"].reshape(len(inputs["image"]), -1) / 99) ** 2 @ held["kernel"],
        {"kernel": kernel},
        inputs={"image": tuple(shape)},
        outputs=3,
    )
    return lay(
        tmp_path / "job",
        monkeypatch,
        table=pa.table({"image": tensor_array(pixels)}),
        model=model,
        signature={"inputs": [{"name": "image", "shape": [-1, *shape], "dtype": "float64"}], "outputs": [IMAGE]},
        schema={"modality": "image", "columns": {"image": {"role": "feature", "type": "image", "shape": shape}}},
        **more,
    )


class TestPictures:
    @pytest.mark.parametrize(
        ("shape", "pictures"),
        [
            ((4, 4), (4, 4, 1)),
            ((4, 4, 1), (4, 4, 1)),
            ((4, 5, 3), (4, 5, 3)),
            ((3, 4, 5), (4, 5, 3)),
            ((4, 4, 4), (4, 4, 3)),
        ],
        ids=str,
    )
    def test_bytes_are_kept_as_they_are_with_the_channels_last(
        self, shape: tuple[int, ...], pictures: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (12, *shape)).astype(np.uint8)
        folder = image_job(tmp_path, monkeypatch, pixels, rows=[5, 2], background_rows=3)
        assert folder.run()["summary"]["pictures"] == 2
        arrays = folder.arrays("pictures.npz")
        assert arrays["row_numbers"].tolist() == [5, 2]
        assert arrays["pictures"].dtype == np.uint8
        expected = pixels[[5, 2]]
        if shape[0] == 3:
            expected = np.moveaxis(expected, 1, -1)
        np.testing.assert_array_equal(arrays["pictures"], expected.reshape(2, *pictures[:2], -1)[..., : pictures[2]])

    def test_numbers_become_bytes_from_the_lowest_to_the_highest(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pixels = np.linspace(-1, 1, 6 * 16).reshape(6, 4, 4)
        folder = image_job(tmp_path, monkeypatch, pixels, rows=6, background_rows=3)
        folder.run()
        pictures = folder.arrays("pictures.npz")["pictures"]
        assert (pictures.min(), pictures.max()) == (0, 255)

    def test_the_first_rows_are_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(media, "PICTURE_ROWS", 5)
        folder = image_job(tmp_path, monkeypatch, np.zeros((12, 4, 4), np.uint8), rows=12, background_rows=2)
        assert folder.run()["summary"]["pictures"] == 5
        monkeypatch.setattr(media, "PICTURE_BYTES", 40)
        assert folder.run()["summary"]["pictures"] == 2

    def test_a_table_has_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = lay(tmp_path / "job", monkeypatch)
        assert folder.run()["summary"]["pictures"] == 0
        assert not (folder.path / "outputs" / "pictures.npz").exists()


class TestTokens:
    TEXTS = ("The quick, brown fox", "the end", "", "One two three four five")

    def token_job(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, with_text: bool = True) -> Any:
        size, length = 5000, 4
        words = [["the", "quick", "brown", "fox"], ["the", "end"], [], ["one", "two", "three", "four", "five"]]
        ids = [([id_of(word, size) for word in row] + [0] * length)[:length] for row in words]
        ids[1][1] = 4321
        columns: dict[str, Any] = {"text.tokens": {"role": "feature", "type": "tokens", "shape": [length]}}
        table = {"text.tokens": tensor_array(np.array(ids, dtype=np.int32))}
        if with_text:
            columns["text"] = {"role": "ignore", "type": "text", "tokens": {"length": length, "size": size}}
            table["text"] = pa.array(self.TEXTS)
        model = NumpyModel(
            lambda held, inputs: np.sin(inputs["tokens"] * 1.0) @ held["kernel"],
            {"kernel": np.random.default_rng(0).normal(size=(4, 2))},
            inputs={"tokens": (4,)},
            outputs=2,
        )
        return lay(
            tmp_path / "job",
            monkeypatch,
            table=pa.table(table),
            model=model,
            signature={
                "inputs": [{"name": "tokens", "shape": [-1, 4], "dtype": "int32", "columns": ["text.tokens"]}],
                "outputs": [
                    {"name": "y", "shape": [-1, 2], "dtype": "float64", "kind": "logits", "classes": ["a", "b"]}
                ],
            },
            schema={"modality": "text", "columns": columns},
            rows=[0, 1, 3],
            background_rows=2,
        )

    def rows(self, folder: Any) -> list[dict[str, Any]]:
        return json.loads((folder.path / "outputs" / "tokens.json").read_text(encoding="utf-8"))["rows"]

    def test_a_token_is_the_word_whose_id_it_has(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = self.token_job(tmp_path, monkeypatch)
        assert folder.run()["summary"]["texts"] == 3
        assert self.rows(folder) == [
            {"row": 0, "tokens": ["the", "quick", "brown", "fox"]},
            {"row": 1, "tokens": ["the", "4321", "", ""]},
            {"row": 3, "tokens": ["one", "two", "three", "four"]},
        ]

    def test_without_the_text_it_is_its_id(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = self.token_job(tmp_path, monkeypatch, with_text=False)
        folder.run()
        assert self.rows(folder)[1]["tokens"] == [str(id_of("the", 5000)), "4321", "", ""]

    def test_the_first_rows_are_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(media, "TOKEN_ROWS", 1)
        folder = self.token_job(tmp_path, monkeypatch)
        assert folder.run()["summary"]["texts"] == len(self.rows(folder)) == 1

    def test_a_table_has_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = lay(tmp_path / "job", monkeypatch)
        assert folder.run()["summary"]["texts"] == 0
        assert not (folder.path / "outputs" / "tokens.json").exists()
