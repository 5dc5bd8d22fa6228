"""``module:name``: how a package's factory and its own losses are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self

_WORD = "[A-Za-z_][A-Za-z0-9_]{0,99}"
_FORM = re.compile(rf"(?P<module>{_WORD}(?:\.{_WORD}){{0,9}}):(?P<name>{_WORD})", re.ASCII)


@dataclass(frozen=True)
class EntryPoint:
    """Something that a source of a model package defines."""

    module: str
    name: str

    @classmethod
    def read(cls, text: Any) -> Self | None:
        """Return the parts of a text of this form, None for anything else."""
        match = _FORM.fullmatch(text) if isinstance(text, str) else None
        return cls(match["module"], match["name"]) if match else None

    @property
    def filename(self) -> str:
        """The source that has to define the name."""
        return f"{self.module.replace('.', '/')}.py"

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"
