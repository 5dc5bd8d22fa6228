"""Splits: by hash, by group, by time; what later rows do not move, and what is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.validators.engine.engine_jobs import schema_of
from tests.workers.job_folders import job
from validators.engine import partition, splitting
from validators.engine.split_plans import SplitPlan, SplitPlanError
from workers.datasets.arrays import write_table
from workers.datasets.canonical import content_digest
from workers.datasets.schema import Schema
from workers.protocol import JobError

THIRDS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def visits(count: int = 3_000) -> pa.Table:
    numbers = np.arange(count)
    return pa.table(
        {
            "visit": [f"v{n}" for n in numbers.tolist()],
            "patient": numbers // 7,
            "at": pa.array(numbers // 3 * 86_400_000_000, pa.timestamp("us")),
            "ill": (numbers % 5 == 0).astype(np.int64),
        }
    )


def plan(**document: Any) -> SplitPlan:
    return SplitPlan.from_json(document if "cuts" in document else {"fractions": THIRDS, **document})


def split(
    base: Path, table: pa.Table, *, target: str | None = None, **document: Any
) -> tuple[dict[str, Any], pa.Table]:
    """Return the value of a split job and the table that it wrote."""
    write_table(table, base / "table.parquet")
    schema = schema_of(table)
    if target:
        schema["columns"][target]["role"] = "target"
    context = job(
        base / "job",
        kind="split",
        inputs={"dataset": base / "table.parquet"},
        parameters={"plan": plan(**document).to_json(), "schema": schema},
    )
    return splitting.run(context), pq.read_table(context.folder / "outputs" / "split.parquet")


def parts_of(table: pa.Table, asked: SplitPlan) -> tuple[np.ndarray, SplitPlan]:
    """Return the parts of a table in a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        write_table(table, path)
        return partition.parts_of(path, asked, table.column_names, work=Path(folder) / "work")


def shares(parts: np.ndarray) -> list[float]:
    return (np.bincount(parts, minlength=3) / len(parts)).tolist()


def test_a_split_keeps_every_row_and_says_the_part_of_each(tmp_path: Path) -> None:
    value, table = split(tmp_path, visits(), by="visit", target="ill")

    assert table.drop_columns(["split"]).equals(visits().cast(table.drop_columns(["split"]).schema))
    assert set(table["split"].to_pylist()) == {"train", "validation", "test"}
    assert value["schema"]["columns"]["split"] == {"role": "split", "type": "category"}
    assert value["content_digest"] == content_digest(table)
    told = {entry["part"]: entry["rows"] for entry in value["report"]["parts"]}
    assert told == {part: table["split"].to_pylist().count(part) for part in told}
    (no, yes) = value["report"]["target"]["classes"]
    assert (no["value"], yes["value"]) == ("0", "1")
    assert no["shares"]["train"] + yes["shares"]["train"] == pytest.approx(1)


def test_shares_are_as_large_as_asked_within_what_chance_does() -> None:
    parts, _ = parts_of(visits(30_000), plan(by="visit"))

    for found, asked in zip(shares(parts), THIRDS.values(), strict=True):
        assert abs(found - asked) < 4 * (asked * (1 - asked) / 30_000) ** 0.5


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 200), st.integers(0, 200), st.text(max_size=5))
def test_rows_that_come_later_move_none(first: int, later: int, salt: str) -> None:
    before, _ = parts_of(visits(first), plan(by="visit", salt=salt))
    after, _ = parts_of(visits(first + later), plan(by="visit", salt=salt))

    assert after[:first].tolist() == before.tolist()


def test_another_salt_is_another_split_and_the_same_is_the_same() -> None:
    one, same, other = (parts_of(visits(), plan(by="visit", salt=salt))[0] for salt in ("a", "a", "b"))

    assert one.tolist() == same.tolist()
    assert one.tolist() != other.tolist()


def test_the_width_of_a_number_in_the_file_does_not_matter() -> None:
    wide, narrow = (pa.table({"id": pa.array(range(500), kept)}) for kept in (pa.int64(), pa.int16()))

    assert parts_of(wide, plan(by="id"))[0].tolist() == parts_of(narrow, plan(by="id"))[0].tolist()


def test_a_group_stays_in_one_part() -> None:
    parts, _ = parts_of(visits(), plan(by="visit", group="patient"))

    patients = visits()["patient"].to_numpy()
    assert all(len(set(parts[patients == patient].tolist())) == 1 for patient in range(patients.max() + 1))
    assert len(set(parts.tolist())) == 3


def test_without_a_column_equal_rows_go_the_same_way() -> None:
    table = pa.concat_tables([visits(400), visits(400)])

    parts, _ = parts_of(table, plan())

    assert parts[:400].tolist() == parts[400:].tolist()


def test_by_time_the_earliest_train_and_the_moments_are_pinned(tmp_path: Path) -> None:
    value, table = split(tmp_path, visits(), time="at")

    moments, parts = table["at"].to_numpy(), np.asarray(table["split"].to_pylist())
    assert moments[parts == "train"].max() < moments[parts == "validation"].min()
    assert moments[parts == "validation"].max() < moments[parts == "test"].min()
    assert value["plan"]["cuts"] == {"validation": "1971-08-24T00:00:00", "test": "1972-03-11T00:00:00"}
    again, _ = parts_of(visits(5_000), plan(time="at", cuts=value["plan"]["cuts"]))
    assert [("train", "validation", "test")[part] for part in again[:3_000]] == parts.tolist()


def test_a_group_that_spans_a_cut_is_refused_by_name() -> None:
    with pytest.raises(
        JobError, match=r"groups of 'patient' have rows in more than one part, the first is \d+"
    ) as refused:
        parts_of(visits(), plan(time="at", group="patient"))

    assert refused.value.code == "group_spans_time"


def test_a_row_without_a_value_has_no_place_to_go() -> None:
    table = pa.table({"id": ["a", None, "c", None]})

    with pytest.raises(JobError, match=r"2 rows have no value there, the first is row 1") as refused:
        parts_of(table, plan(by="id"))

    assert refused.value.place == "id, row 1"


def test_a_part_without_a_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="'validation' would have no row"):
        split(tmp_path, pa.table({"id": ["a", "b"]}), by="id")


@pytest.mark.parametrize("cut", ["the day before yesterday", 7.5, "1970-02-30"])
def test_a_cut_that_is_no_moment_is_refused(cut: Any) -> None:
    with pytest.raises(JobError, match="is no value of the column 'at'"):
        parts_of(visits(), plan(time="at", cuts={"test": cut}))


def test_columns_may_be_named_anything(tmp_path: Path) -> None:
    names = ['a"; DROP TABLE x; --', "new\nline", "🙂", "At", "at", "row", "c0"]
    table = pa.table({name: np.arange(60) // 3 if name == "at" else np.arange(60) for name in names})

    value, written = split(tmp_path, table, time="at", group="new\nline")
    (tmp_path / "by").mkdir()
    _, by_name = split(tmp_path / "by", table, by=names[0], column="Split")

    assert written.drop_columns("split").equals(table.cast(written.schema.remove(len(names))))
    assert value["plan"]["cuts"] == {"validation": 12, "test": 16}
    assert written["split"].to_pylist() == ["train"] * 36 + ["validation"] * 12 + ["test"] * 12
    assert len(set(by_name["Split"].to_pylist())) == 3


def test_an_earlier_split_gives_way_where_that_is_asked(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    _, once = split(tmp_path / "one", visits(), by="visit")
    value, twice = split(tmp_path / "two", once, by="visit", salt="again", replace=True)

    assert twice.column_names == once.column_names
    assert twice["split"].to_pylist() != once["split"].to_pylist()
    assert [name for name, kept in value["schema"]["columns"].items() if kept["role"] == "split"] == ["split"]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "is an object"),
        ({"fractions": {"train": 1.0}}, "at least two"),
        ({"fractions": {"train": 0.5, "exam": 0.5}}, "at least two of train, validation, test"),
        ({"fractions": {"train": 0.5, "test": 0.6}}, "sum to 1.1"),
        ({"fractions": {"train": 1.2, "test": -0.2}}, "between 0 and 1"),
        ({"fractions": {"train": True, "test": 0.5}}, "between 0 and 1"),
        ({"fractions": THIRDS, "color": "red"}, "no key 'color'"),
        ({"fractions": THIRDS, "by": 3}, "`by` is the name"),
        ({"fractions": THIRDS, "salt": 3}, "`salt` is a text"),
        ({"fractions": THIRDS, "replace": "yes"}, "true or false"),
        ({"fractions": THIRDS, "time": "at", "cuts": {"test": 3}}, "has both"),
        ({"cuts": {"test": 3}}, "name it as `time`"),
        ({"time": "at", "cuts": {"train": 3}}, "first moment of validation or test"),
        ({"time": "at", "cuts": {"test": None}}, "is a moment"),
    ],
)
def test_a_plan_that_is_none_says_what_is_wrong(document: Any, sentence: str) -> None:
    with pytest.raises(SplitPlanError, match=sentence):
        SplitPlan.from_json(document)


def test_a_plan_says_which_columns_do_not_fit_it() -> None:
    schema = Schema.from_json(
        {
            "modality": "tabular",
            "columns": {"a": {"role": "split", "type": "category"}, "name": {"role": "id", "type": "string"}},
        }
    )

    sentences = plan(by="x", group="y", time="name", column="name").misfits(schema)

    assert len(sentences) == 5
    assert "no column 'x'" in sentences[0]
    assert "no column 'y'" in sentences[1]
    assert "no order of time" in sentences[2]
    assert "has the role `split` already" in sentences[3]
    assert "of another role" in sentences[4]
