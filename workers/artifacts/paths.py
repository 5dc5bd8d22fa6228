"""Names of entries: plain relative paths, and when two of them are one name to somebody."""

from __future__ import annotations

import unicodedata

from workers.artifacts.findings import refusal, shown
from workers.artifacts.limits import Limits


def plain_path(raw: bytes, encoding: str, limits: Limits, place: str) -> str:
    """Return the name of an entry.

    Raises:
        RefusalError: ``ART-02.entry_name`` for a path that is absolute, leads upwards, or is not plain on every system.
    """
    try:
        name = raw.decode(encoding)
    except UnicodeDecodeError:
        raise refusal("ART-02.entry_name", f"The name {shown(raw)} is not UTF-8.", place) from None
    if (
        not 0 < len(raw) <= limits.name_bytes
        or any(part in ("", ".", "..") for part in name.split("/"))
        or any(character in '\\:*?"<>|' or not character.isprintable() for character in name)
    ):
        raise refusal("ART-02.entry_name", f"The name {shown(name)} is not a plain relative path.", place)
    return name


class DistinctNames:
    """Names of one archive, of which no two are one: also not in other letters of the same meaning.

    Nor is a name that of a file and of a folder: one reader would unpack the one, another the other.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._folders: set[str] = set()
        self._files: set[str] = set()

    def add(self, name: str, *, is_folder: bool = False) -> None:
        """Take a name, or refuse it as ``ART-02.duplicate_name``."""
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
        if key in self._names:
            raise refusal("ART-02.duplicate_name", f"{shown(name)} and {shown(self._names[key])} are one name.", name)
        self._names[key] = name
        parts = key.split("/")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        self._folders |= above
        (self._folders if is_folder else self._files).add(key)
        both = self._files & {key, *above} if is_folder else {key} & self._folders | self._files & above
        if both:
            raise refusal("ART-02.duplicate_name", f"{shown(min(both))} is a file and a folder.", name)
