"""What a trusting loader is: a way in which people open a file as it comes, and the harm that this does them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

#: ``runs``: the payload touches the marker, or the loader does for it, having read the host's decoy.
#: ``exhausts``: within limits that a harmless twin does not feel, memory, time or the stack comes to an end.
#: ``disagrees``: two readers of the same bytes see two contents, or one takes what the other refuses.
Harm = Literal["runs", "exhausts", "disagrees"]
Framework = Literal["torch", "tensorflow"]

#: What a reader makes of a file that it does not take.
REFUSED: Final = "refused"


@dataclass(frozen=True)
class Loader:
    """A way to open a file.

    Attributes:
        load: opens the file; with ``disagrees`` it returns what each reader made of it.
        framework: what is imported in the process that runs it.
    """

    load: Callable[[Path], Any]
    harm: Harm = "runs"
    framework: Framework = "torch"


def reading(read: Callable[[Path], Any], path: Path) -> Any:
    """Return what a reader makes of a file, or that it refuses it."""
    try:
        return read(path)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - each reader refuses in its own way
        return REFUSED


def disagree(readings: Mapping[str, Any]) -> bool:
    """Tell whether two readers saw two contents; that all refuse a file is no harm."""
    seen = list(readings.values())
    return any(other != seen[0] for other in seen[1:])


def touch(path: Path) -> None:
    """Leave the marker beside a file, as its payload would."""
    (path.parent / "marker").touch()
