"""The bytes of an HDF5 file, each of which is one thing: what was parsed is claimed, what is left has to be zero."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from os import SEEK_END

from workers.artifacts.findings import RefusalError, refusal
from workers.artifacts.limits import Limits
from workers.artifacts.region import RandomAccess

#: The address of what is not there.
UNDEFINED = 0xFFFF_FFFF_FFFF_FFFF

_PIECE_BYTES = 4 * 1024 * 1024


class FileMap:
    """A file whose bytes are claimed as they are parsed.

    Claims that touch are kept as one, so that the map of a densely packed file stays small.
    """

    def __init__(self, stream: RandomAccess, place: str, limits: Limits) -> None:
        self.size_bytes = stream.seek(0, SEEK_END)
        self.limits = limits
        self._stream = stream
        self._place = place
        self._starts: list[int] = []
        self._ends: list[int] = []

    def refused(
        self, why: str, path: str, offset: int | None = None, identifier: str = "ART-02.hdf5_structure"
    ) -> RefusalError:
        """Make the exception that names an object by its path and, where it helps, a byte of the file."""
        byte = "" if offset is None else f" (byte {offset:,})"
        within = f"{self._place}: " if self._place else ""
        return refusal(identifier, why, f"{within}{path or '/'}{byte}")

    def claim(self, offset: int, size: int, what: str, path: str) -> None:
        """Say that ``size`` bytes (at least 1) from ``offset`` on are ``what``.

        Raises:
            RefusalError: the bytes are not in the file, or some of them are something else already.
        """
        end = offset + size
        if end > self.size_bytes:
            why = f"The {what} would end at byte {end:,}; the file has {self.size_bytes:,} bytes."
            raise self.refused(why, path, offset)
        at = bisect_right(self._starts, offset)
        if (at and self._ends[at - 1] > offset) or (at < len(self._starts) and self._starts[at] < end):
            raise self.refused(f"The {what} lies over bytes that are something else already.", path, offset)
        touches_left = at > 0 and self._ends[at - 1] == offset
        touches_right = at < len(self._starts) and self._starts[at] == end
        if touches_left and touches_right:
            self._ends[at - 1] = self._ends.pop(at)
            del self._starts[at]
        elif touches_left:
            self._ends[at - 1] = end
        elif touches_right:
            self._starts[at] = offset
        else:
            self._starts.insert(at, offset)
            self._ends.insert(at, end)

    def read(self, offset: int, size: int, what: str, path: str) -> bytes:
        """Claim some bytes and return them; their size was compared with the file before any memory is taken."""
        self.claim(offset, size, what, path)
        self._stream.seek(offset)
        content = self._stream.read(size)
        if len(content) != size:
            raise self.refused(f"The {what} is cut off.", path, offset)
        return content

    def pieces(self, offset: int, size: int) -> Iterator[bytes]:
        """Yield bytes that were claimed, in pieces of a few MiB."""
        while size > 0:
            self._stream.seek(offset)
            piece = self._stream.read(min(size, _PIECE_BYTES))
            if not piece:
                raise self.refused("The file became shorter while it was read.", "", offset)
            offset += len(piece)
            size -= len(piece)
            yield piece

    def demand_no_rest(self) -> None:
        """Refuse bytes that nothing claims, unless they are zero: HDF5 leaves such gaps where it rounds up.

        Raises:
            RefusalError: with the first byte that is not zero and belongs to nothing.
        """
        gap = 0
        for start, end in zip([*self._starts, self.size_bytes], [*self._ends, self.size_bytes], strict=True):
            for piece in self.pieces(gap, start - gap):
                rest = piece.lstrip(b"\0")
                if rest:
                    offset = gap + len(piece) - len(rest)
                    why = "Bytes that belong to no object are not zero; save the file anew, without deleted objects."
                    raise self.refused(why, "", offset)
                gap += len(piece)
            gap = end
