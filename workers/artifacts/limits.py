"""The limits of an inspection: absolute sizes and counts, so that its time and memory are bounded by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

_GIB = 1024**3


@dataclass(frozen=True)
class Limits:
    """Absolute limits; a ratio alone is no bomb (2 MiB of zeros compress 1,000 to 1).

    Attributes:
        entries: files of one archive, and members of one HDF5 file.
        total_bytes: what all entries of an archive unpack to, and what all arrays of a file need.
        name_bytes: the longest name of an entry, a group or a tensor.
        json_bytes: the longest JSON document.
        json_depth: how deep JSON, groups or containers may be nested.
        pickle_bytes: the longest pickle.
        tensors: arrays of one file.
        source_bytes: all Python source of one model package.
    """

    entries: int = 20_000
    total_bytes: int = 8 * _GIB
    name_bytes: int = 512
    json_bytes: int = 32 * 1024**2
    json_depth: int = 64
    pickle_bytes: int = 64 * 1024**2
    tensors: int = 50_000
    source_bytes: int = 4 * 1024**2

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read limits by name; what is left out keeps its default.

        Raises:
            ValueError: a name that is no limit, or a value that is no positive whole number.
        """
        known = {field.name for field in fields(cls)}
        for name, value in document.items():
            if name not in known:
                raise ValueError(f"{name!r} is no limit; there are {', '.join(sorted(known))}.")
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"The limit {name} is {value!r}; it is a whole number of at least 1.")
        return cls(**document)
