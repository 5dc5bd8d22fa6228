"""The columns of a data set by which a page slices the rows: which are kept, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from audits.engine.explanation.columns import MAX_COLUMNS, MAX_LABELS
from tests.audits.engine.explanation_jobs import Folder, lay, numbers_table, schema_of


def columns_of(
    path: Path, monkeypatch: pytest.MonkeyPatch, added: dict[str, tuple[str, str, list[Any]]], **asked: Any
) -> tuple[Folder, dict[str, np.ndarray]]:
    """Run a job on the table of numbers with further columns: name -> role, type, values."""
    table, schema = numbers_table(60), schema_of()
    for name, (role, kind, values) in added.items():
        table = table.append_column(name, pa.array(values))
        schema["columns"][name] = {"role": role, "type": kind}
    folder = lay(path, monkeypatch, table=table, schema=schema, **asked)
    folder.value = folder.run()  # type: ignore[attr-defined]
    is_there = (folder.path / "outputs" / "columns.npz").exists()
    return folder, folder.arrays("columns.npz") if is_there else {}


def test_protected_columns_are_kept_first_and_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    region = [None if row == 9 else ("north", "south", "east")[row % 3] for row in range(60)]
    weight = [None if row == 9 else row / 2 for row in range(60)]
    folder, kept = columns_of(
        tmp_path / "job",
        monkeypatch,
        {"weight": ("metadata", "float", weight), "region": ("protected", "category", region)},
        rows=[40, 9, 2],
    )

    assert folder.value["summary"]["columns"] == ["region", "weight"]  # type: ignore[attr-defined]
    assert kept["names"].tolist() == ["region", "weight"]
    labels = kept["labels"].tolist()
    assert [labels[int(code)] for code in kept["values"][[0, 2], 0]] == ["south", "east"]
    assert np.isnan(kept["values"][1]).all()
    assert kept["values"][[0, 2], 1].tolist() == [20.0, 1.0]
    assert set(kept["label_columns"].tolist()) == {0}


def test_what_names_a_row_feeds_the_model_or_is_the_target_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [f"street {row % (MAX_LABELS + 1)}" for row in range(60)]
    _, kept = columns_of(
        tmp_path / "job",
        monkeypatch,
        {"street": ("protected", "string", many), "since": ("timestamp", "string", many)},
        rows=60,
    )

    assert kept == {}


def test_only_so_many_columns_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = {f"m{place}": ("metadata", "integer", list(range(60))) for place in range(MAX_COLUMNS + 3)}

    _, kept = columns_of(tmp_path / "job", monkeypatch, {**added, "sex": ("protected", "boolean", [True, False] * 30)})

    assert kept["values"].shape == (12, MAX_COLUMNS)
    assert kept["names"][0] == "sex"
    assert sorted(kept["labels"].tolist()) == ["False", "True"]


def test_numbers_that_are_none_are_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, kept = columns_of(
        tmp_path / "job",
        monkeypatch,
        {"odd": ("protected", "float", [np.inf, -np.inf, np.nan, 1.0] * 15)},
        rows=[0, 1, 3],
    )

    assert np.isnan(kept["values"][:2]).all()
    assert kept["values"][2, 0] == 1
