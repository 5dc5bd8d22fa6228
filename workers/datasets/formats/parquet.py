"""Read a Parquet file: whole, with flat columns or arrays of one shape."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workers.datasets.canonical import canonical_table, canonical_type
from workers.datasets.formats.limits import check_bytes, check_columns, check_names
from workers.protocol import JobError

_MAGIC = b"PAR1"


def read(path: Path) -> pa.Table:
    """Read all rows in canonical types.

    Raises:
        JobError: codes ``parquet_cut``, ``parquet_damaged``, ``too_many_columns``, ``too_large``,
            ``duplicate_columns``, ``type_not_supported`` (column).
    """
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - len(_MAGIC)))
        if stream.read() != _MAGIC or path.stat().st_size < 12:
            raise JobError(
                "parquet_cut",
                f"The Parquet file is cut: it begins as one, but ends after {path.stat().st_size:,} bytes without its "
                "footer. Upload it again.",
                place=f"byte {path.stat().st_size}",
            )
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            metadata = file.metadata
            check_columns(metadata.num_columns)
            groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
            check_bytes(sum(group.total_byte_size for group in groups))
            names = list(file.schema_arrow.names)
            check_names(names)
            for name, data_type in zip(names, file.schema_arrow.types, strict=True):
                if canonical_type(data_type) is None:
                    raise JobError(
                        "type_not_supported",
                        f"The column {name!r} is of the type {data_type}; a column holds numbers, booleans, texts, "
                        "moments or arrays of numbers of one shape.",
                        place=name,
                    )
            table = file.read()
            table.validate(full=True)  # texts that are not UTF-8, offsets that point outside
    except (pa.ArrowException, OSError) as error:
        raise JobError("parquet_damaged", f"The Parquet file is damaged: {error}.", place="file") from error
    return canonical_table(table)
