"""CSV: what is read, and what is refused with its line, cell or byte."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.datasets.uploads import read_upload
from workers.datasets.formats.limits import MAX_COLUMNS
from workers.protocol import JobError


def read(folder: Path, content: bytes | str, *, stated: frozenset[str] = frozenset()) -> pa.Table:
    path = folder / "upload"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_upload(path, filename="data.csv", stated_columns=stated)


def refusal(folder: Path, content: bytes | str) -> JobError:
    with pytest.raises(JobError) as refused:
        read(folder, content)
    return refused.value


def test_cells_are_texts_and_empty_cells_are_missing(tmp_path: Path) -> None:
    table = read(tmp_path, 'a,b\n1,\n"","x, ""y""\nz"\n')
    assert table.to_pydict() == {"a": ["1", ""], "b": [None, 'x, "y"\nz']}


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_the_header_tells_the_separator(tmp_path: Path, separator: str) -> None:
    assert read(tmp_path, f"a{separator}b\n1{separator}2,5\n").to_pydict() == {"a": ["1"], "b": ["2,5"]}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_any_line_ending_and_a_byte_order_mark(tmp_path: Path, ending: str) -> None:
    content = "\ufeff" + ending.join(["ä,b", "1,2", "", "3,4"])
    assert read(tmp_path, content).to_pydict() == {"ä": ["1", "3"], "b": ["2", "4"]}


def test_an_empty_line_of_a_single_column_is_a_missing_value(tmp_path: Path) -> None:
    assert read(tmp_path, "a\n1\n\n2\n").to_pydict() == {"a": ["1", None, "2"]}


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_ragged_row_is_told_with_its_line(tmp_path: Path, quote: str) -> None:
    error = refusal(tmp_path, f"a,b\n{quote}1{quote},2\n\n3\n4,5,6\n")
    assert (error.code, error.place) == ("ragged_row", "line 4")
    assert error.detail == "Line 4 has 1 cell; the header names 2 columns."


def test_a_ragged_row_after_a_cell_of_several_lines(tmp_path: Path) -> None:
    error = refusal(tmp_path, 'a,b\n"1\n\n",2\n3,4,5\n')
    assert (error.code, error.place) == ("ragged_row", "line 5")


def test_a_row_with_a_cell_too_many_is_told(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a,b\n1,2,3\n").place == "line 2"


@pytest.mark.parametrize(("content", "line"), [('a,b\n1,2\n3,"4\n5,6\n', 3), ('a,b\n"1"x,2\n', 2)])
def test_quotes_that_do_not_fit_are_told_with_their_line(tmp_path: Path, content: str, line: int) -> None:
    error = refusal(tmp_path, content)
    assert (error.code, error.place) == ("quotes_not_closed", f"line {line}")


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (b"a,b\n1,\xe9\n", 6),
        ("name\nMüller\n".encode("latin-1"), 6),
        (b"a\n" + b"x" * (1024**2 - 3) + "é".encode() + b"\xff\n", 1024**2 + 1),
        ("a\nb\n".encode("utf-16"), 0),
        (b"a,b\n1,\x00\n", 6),
    ],
)
def test_an_unknown_encoding_is_told_with_its_byte(tmp_path: Path, content: bytes, offset: int) -> None:
    error = refusal(tmp_path, content)
    assert (error.code, error.place) == ("unknown_encoding", f"byte {offset}")


@pytest.mark.parametrize("content", ["1,2,3\n4,5,6\n", "5.1,3.5,setosa\n4.9,3.0,setosa\n", "-1e3\n2\n"])
def test_a_missing_header_is_noticed(tmp_path: Path, content: str) -> None:
    assert refusal(tmp_path, content).code == "no_header"


def test_columns_may_be_named_by_numbers_where_the_schema_says_so(tmp_path: Path) -> None:
    assert read(tmp_path, "0,1\n5,6\n", stated=frozenset({"0", "1"})).column_names == ["0", "1"]
    assert read(tmp_path, "country,1990\nFR,6\n").column_names == ["country", "1990"]


@pytest.mark.parametrize(
    ("content", "code", "place"),
    [
        ("a,b,a\n1,2,3\n", "duplicate_columns", "column 3"),
        ("a,,b\n1,2,3\n", "empty_column_name", "column 2"),
        ("a, \n1,2\n", "empty_column_name", "column 2"),
        ("a,b\n", "no_rows", "data.csv"),
        ("\n\n", "empty_file", "line 1"),
        ("", "empty_file", "data.csv"),
    ],
)
def test_headers_and_files_without_content(tmp_path: Path, content: str, code: str, place: str) -> None:
    error = refusal(tmp_path, content)
    assert (error.code, error.place) == (code, place)


def test_a_million_columns_are_refused_before_the_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyarrow.csv.read_csv", lambda *arguments, **options: pytest.fail("the rows were read"))
    error = refusal(tmp_path, ",".join(f"column{number}" for number in range(1_000_000)) + "\n1,2\n")
    assert error.code == "too_many_columns"
    assert f"at most {MAX_COLUMNS:,}" in error.detail


def test_as_many_columns_as_are_allowed_are_read(tmp_path: Path) -> None:
    header = ",".join(f"c{number}" for number in range(MAX_COLUMNS))
    assert read(tmp_path, f"{header}\n{',' * (MAX_COLUMNS - 1)}\n").num_columns == MAX_COLUMNS
    assert refusal(tmp_path, f"{header},d\n{',' * MAX_COLUMNS}\n").code == "too_many_columns"


def test_a_first_line_without_an_end_is_no_header(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a" * (5 * 1024**2)).code == "no_header"


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff", exclude_categories=("Cs",)), max_size=8)
names = st.lists(st.from_regex(r"[a-z][a-z0-9 ]{0,5}", fullmatch=True), min_size=1, max_size=4, unique=True)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=names, data=st.data(), ending=st.sampled_from(["\n", "\r\n"]))
def test_what_a_csv_writer_writes_is_what_is_read(
    tmp_path: Path, header: list[str], data: st.DataObject, ending: str
) -> None:
    row = st.lists(cells, min_size=len(header), max_size=len(header))
    rows = data.draw(st.lists(row, min_size=1, max_size=6))
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator=ending)
    writer.writerows([header, *rows])
    table = read(tmp_path, stream.getvalue())
    assert table.column_names == header
    assert [list(record.values()) for record in table.to_pylist()] == rows
