"""The pass over the rows in their order: what is missing, lowest and highest, sums, and whether values are in order."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.datasets.canonical import is_tensor, missing_rows, tensor_values, thread_count
from workers.datasets.reading import read_batches, row_bytes, rows_of_batch

#: Numbers of arrays that are counted at once.
_PIECE_NUMBERS = 1_000_000
#: By what values are divided before they are added up where the sum would be beyond the largest float.
_SCALE = 2.0**64


class Counts:
    """What one column adds up to, batch by batch."""

    def __init__(self, data_type: pa.DataType) -> None:
        self.present = 0
        self.missing = 0
        self.infinite = 0
        #: Whether few different values are to be expected, by those of the first batch.
        self.has_few_values = True
        self._type = data_type
        self._order = None if is_tensor(data_type) else _Order()
        self._extent = _Extent()
        self._zeros = 0

    def add(self, array: pa.Array) -> None:
        """Count the next rows of the column; arrays in pieces, since numbers are counted as eight bytes each."""
        rows = max(1, _PIECE_NUMBERS // math.prod(array.type.shape)) if is_tensor(array.type) else max(1, len(array))
        for start in range(0, len(array), rows):
            self._add(array.slice(start, rows))

    def _add(self, array: pa.Array) -> None:
        missing = missing_rows(array)
        count = int(missing.sum())
        first = not self.present
        self.missing += count
        self.present += len(array) - count
        present = array.filter(pa.array(~missing)) if count else array
        if not len(present):
            return
        if first and not is_tensor(self._type):
            self.has_few_values = 2 * pc.count_distinct(present).as_py() <= len(present)
        if self._order is not None:
            self._order.add(present)
        self._measure(present)

    @property
    def order(self) -> str | None:
        return None if self._order is None else self._order.word

    @property
    def described(self) -> dict[str, Any]:
        """What the profile of the column says about what was counted here, by the keys of a profile."""
        extent = {"lowest": self._extent.lowest, "highest": self._extent.highest, "mean": self._extent.mean}
        if pa.types.is_string(self._type):
            return {"lengths": extent}
        if pa.types.is_temporal(self._type):
            return {key: None if extent[key] is None else extent[key].isoformat() for key in ("lowest", "highest")}
        if pa.types.is_boolean(self._type):
            return {"mean": extent["mean"]}
        if is_tensor(self._type):
            return extent
        return {**extent, "infinite": self.infinite, "zeros": self._zeros}

    def _measure(self, present: pa.Array) -> None:
        if pa.types.is_temporal(self._type):
            bounds = pc.min_max(present).as_py()
            self._extent.reach(bounds["min"], bounds["max"])
            return
        if is_tensor(self._type):
            values = tensor_values(present)
        elif pa.types.is_string(self._type):
            values = pc.utf8_length(present).to_numpy(zero_copy_only=False)
        else:
            kind = pa.int64() if pa.types.is_boolean(self._type) else self._type
            values = present.cast(pa.float64() if pa.types.is_decimal(kind) else kind).to_numpy(zero_copy_only=False)
        finite = values
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            finite = values[np.isfinite(values)]
            self.infinite += values.size - finite.size
        if finite.size:
            self._extent.add(finite)
            self._zeros += int(finite.size - np.count_nonzero(finite))


def count_columns(path: Path, types: pa.Schema, tell: Callable[[int], None]) -> list[Counts]:
    """Count each column of a canonical Parquet; ``tell`` hears how many rows were seen."""
    counts = [Counts(field.type) for field in types]
    rows = 0
    with ThreadPoolExecutor(thread_count()) as pool:
        for batch in read_batches(path, batch_rows=rows_of_batch(row_bytes(types))):
            for added in [pool.submit(count.add, array) for count, array in zip(counts, batch.columns, strict=True)]:
                added.result()
            rows += batch.num_rows
            tell(rows)
    return counts


#: Of integers of at most so many bytes, a batch has too few to add up beyond 64 bits.
_BYTES_OF_SMALL = 4


class _Extent:
    """The lowest, the highest and the mean value."""

    def __init__(self) -> None:
        self.lowest: Any = None
        self.highest: Any = None
        self._count = 0
        self._sums: list[float] = []
        self._whole = 0

    def add(self, values: NDArray[Any]) -> None:
        self.reach(values.min().item(), values.max().item())
        self._count += values.size
        if values.dtype.kind == "f":
            self._sums.append(float(np.sum(values / _SCALE, dtype=np.float64)))
        else:
            self._whole += _exact_sum(values)

    def reach(self, lowest: Any, highest: Any) -> None:
        self.lowest = lowest if self.lowest is None else min(lowest, self.lowest)
        self.highest = highest if self.highest is None else max(highest, self.highest)

    @property
    def mean(self) -> float | None:
        """The sums of the batches are added up exactly, so that it is the same on any number of threads."""
        if not self._count:
            return None
        return math.fsum(self._sums) / self._count * _SCALE if self._sums else self._whole / self._count


def _exact_sum(values: NDArray[Any]) -> int:
    """Add up integers; those of 64 bits in two halves, neither of which is beyond 64 bits."""
    if values.dtype.itemsize <= _BYTES_OF_SMALL:
        return int(np.sum(values, dtype=np.int64))
    wide = values.astype(np.int64, copy=False)
    return (int(np.sum(wide >> 32)) << 32) + int(np.sum(wide & 0xFFFFFFFF))


class _Order:
    """Whether the values go up or down the rows, and whether two neighbours are ever the same."""

    def __init__(self) -> None:
        self._last: pa.Scalar | None = None
        self._goes_up = True
        self._goes_down = True
        self._is_strict = True

    def add(self, present: pa.Array) -> None:
        if not (self._goes_up or self._goes_down):
            return
        before = present.slice(0, len(present) - 1)
        after = present.slice(1)
        if self._last is not None:
            self._compare(pa.array([self._last.as_py()], present.type), present.slice(0, 1))
        self._compare(before, after)
        self._last = present[len(present) - 1]

    def _compare(self, before: pa.Array, after: pa.Array) -> None:
        if not len(before):
            return
        self._goes_up = self._goes_up and pc.all(pc.less_equal(before, after)).as_py()
        self._goes_down = self._goes_down and pc.all(pc.greater_equal(before, after)).as_py()
        if self._goes_up or self._goes_down:
            self._is_strict = self._is_strict and not pc.any(pc.equal(before, after)).as_py()

    @property
    def word(self) -> str | None:
        """``increasing`` or ``decreasing``, with ``strictly`` in front; None for neither, and for fewer than two."""
        if self._last is None or self._goes_up == self._goes_down:
            return None
        return ("strictly " if self._is_strict else "") + ("increasing" if self._goes_up else "decreasing")
