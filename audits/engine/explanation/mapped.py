"""Arrays that lie in files of the job folder, so that they may be larger than the memory."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class MappedArray:
    """An array in a file; the pages that were touched are in memory until they are let go.

    Attributes:
        array: the numbers, which may be written where the file is new.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: DTypeLike, *, is_new: bool = False) -> None:
        """Map a file, which is made with room for all of the array where it is new.

        Raises:
            OSError: the disk has no room for it, or the file may not be as long.
        """
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        self._map: mmap.mmap | None = None
        if not size:
            self.array: NDArray[Any] = np.empty(tuple(shape), kind)
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL if is_new else os.O_RDONLY
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            if is_new:
                # Writing to a hole for which the disk has no room would end the process, not raise an error.
                os.posix_fallocate(descriptor, 0, size)
            self._map = mmap.mmap(descriptor, size, access=mmap.ACCESS_WRITE if is_new else mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        self.array = np.frombuffer(self._map, kind).reshape(tuple(shape))

    def let_go(self) -> None:
        """Give back the memory of what was touched; the numbers stay, in the file."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)
