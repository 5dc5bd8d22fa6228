"""Read a CSV file: UTF-8, one header line, the same number of cells in every row; all cells come as texts.

The separator is a comma, or the semicolon, tab or bar that the header uses instead. An empty cell is a missing value, a
quoted empty cell is an empty text. Arrow reads the rows; a file with quotes is checked first by a strict reader, since
Arrow lets an open quote swallow the rest of a file.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from workers.datasets.formats.limits import check_bytes, check_columns, check_names
from workers.datasets.upload import Progress, Upload
from workers.protocol import JobError

_SEPARATORS = ",;\t|"
_HEADER_BYTES = 4 * 1024**2
#: What is read at once; no row is longer.
_BLOCK_BYTES = 16 * 1024**2
#: Lines of a file with quotes after which it is told how far the strict reader is.
_LINES_BETWEEN = 20_000
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_FRACTION = re.compile(r"\s*[+-]?(\d*\.\d+|\d+[eE][+-]?\d+)\s*")


def open_upload(path: Path, *, stated_columns: frozenset[str], progress: Progress | None = None) -> Upload:
    """Check the file as a whole and read its header; the rows come as texts.

    Args:
        progress: is told how many bytes of a file with quotes the strict reader has read.

    Raises:
        JobError: codes ``unknown_encoding`` (byte offset), ``no_header``, ``empty_column_name``, ``duplicate_columns``,
            ``too_many_columns``, ``quotes_not_closed`` (line); there, or from the rows, ``ragged_row`` (line).
    """
    check_bytes(path.stat().st_size)
    names, separator, header_bytes = _header(path)
    has_quotes = _check_encoding(path, header_bytes)
    _check_header(names, stated_columns)
    row_count = _check_rows(path, separator, len(names), progress) if has_quotes else None
    schema = pa.schema([(name, pa.string()) for name in names])
    return Upload("csv", schema, lambda: _batches(path, separator, names, row_count), row_count)


def _header(path: Path) -> tuple[list[str], str, int]:
    """Read the first line with anything in it, and no more, so that a million columns are found at once.

    Returns the names, the separator, and the byte where the rows begin.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
        is_whole = not stream.read(1)
    text = head.decode("utf-8-sig", errors="replace")
    first = text.lstrip("\r\n").split("\n", 1)[0]
    separator = max(_SEPARATORS, key=lambda candidate: (_outside_quotes(first, candidate), candidate == ","))
    if _outside_quotes(first, separator) == 0:
        separator = ","
    csv.field_size_limit(_BLOCK_BYTES)
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=separator)
    try:
        names = next((record for record in reader if record), [])
    except csv.Error as error:
        raise JobError("csv_not_readable", f"The header cannot be read: {error}.", place="line 1") from error
    is_cut = not is_whole and "\n" not in text and "\r" not in text
    check_columns(len(names), at_least=is_cut)
    if is_cut:
        detail = f"No line ends within the first {_HEADER_BYTES:,} bytes, so there is no header."
        raise JobError("no_header", detail, place="line 1")
    if not names:
        raise JobError("empty_file", "The file has no line with anything in it.", place="line 1")
    return names, separator, lines.bytes_read


class _Lines:
    """The lines of a text, and how many bytes of them were read."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.bytes_read = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.bytes_read += len(line.encode("utf-8", errors="replace"))
            yield line


def _outside_quotes(line: str, separator: str) -> int:
    return sum(part.count(separator) for part in line.split('"')[::2])


def _check_encoding(path: Path, header_bytes: int) -> bool:
    """Check that the file is UTF-8 text; tell whether there are quotes behind the header.

    Many writers quote the names of columns only, and rows without quotes need no reader that is strict about them.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    has_quotes = False
    offset = 0
    with path.open("rb") as stream:
        while True:
            block = stream.read(1024**2)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                at = offset - pending + error.start
                hint = "; it looks like UTF-16" if offset + at <= 1 and block[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
                raise JobError(
                    "unknown_encoding",
                    f"The file is not UTF-8 text: byte {at:,} (0x{error.object[error.start]:02x}) does not belong to it"
                    f"{hint}. Save it as UTF-8.",
                    place=f"byte {at}",
                ) from error
            if not block:
                return has_quotes
            zero = block.find(b"\0")
            if zero >= 0:
                raise JobError(
                    "unknown_encoding",
                    f"Byte {offset + zero:,} is zero, which text does not have: the file is not a CSV, or not UTF-8.",
                    place=f"byte {offset + zero}",
                )
            has_quotes = has_quotes or block.find(b'"', max(0, header_bytes - offset)) >= 0
            offset += len(block)


def _check_header(names: list[str], stated_columns: frozenset[str]) -> None:
    is_stated = bool(stated_columns) and stated_columns == frozenset(names)
    if not is_stated:
        fraction = next((name for name in names if _FRACTION.fullmatch(name)), None)
        if all(_NUMBER.fullmatch(name) for name in names) or fraction is not None:
            raise JobError(
                "no_header",
                f"The first line does not look like a header: its cell {fraction or names[0]!r} is a number. The first "
                "line names the columns; where columns really are named by numbers, state a schema that says so.",
                place="line 1",
            )
    check_names(names)


def _check_rows(path: Path, separator: str, width: int, progress: Progress | None = None) -> int:
    """Read the file strictly, in order to name the line of what is wrong; return how many rows it has."""
    count = -1
    for line, record in _records(path, separator, progress):
        if not record and width > 1:
            continue
        if len(record or [""]) != width:
            raise JobError(
                "ragged_row",
                f"Line {line} has {len(record)} cell{'s' * (len(record) != 1)}; the header names {width} "
                f"column{'s' * (width != 1)}.",
                place=f"line {line}",
            )
        count += 1
    return count


def _records(path: Path, separator: str, progress: Progress | None) -> Iterator[tuple[int, list[str]]]:
    size, told_line = path.stat().st_size, 0
    with path.open("rb") as content, io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=separator, strict=True)
        while True:
            line = reader.line_num + 1
            if progress is not None and line >= told_line + _LINES_BETWEEN:
                progress(content.tell(), size)
                told_line = line
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise JobError(
                    "quotes_not_closed",
                    f"The quotes of the record that starts in line {line} do not fit together: {error}. A quote "
                    "inside a quoted cell is written twice.",
                    place=f"line {line}",
                ) from error
            yield line, record


def _batches(path: Path, separator: str, names: list[str], row_count: int | None) -> Iterator[pa.RecordBatch]:
    rows = 0
    try:
        with _reader(path, separator, names, has_quotes=row_count is not None) as reader:
            found = reader.schema.names
            for batch in reader:
                yield batch
                rows += batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        _check_rows(path, separator, len(names))
        raise JobError("csv_not_readable", f"The file cannot be read: {error}.", place="file") from error
    if found != names or row_count not in (None, rows):
        raise JobError(
            "csv_not_readable", "Two readers of the file do not agree on its rows and columns.", place="file"
        )


def _reader(path: Path, separator: str, names: list[str], *, has_quotes: bool) -> pyarrow.csv.CSVStreamingReader:
    is_single = len(names) == 1
    return pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=separator, newlines_in_values=has_quotes, ignore_empty_lines=not is_single
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )
