"""Says what an uploaded file is and whether it may be loaded, without loading any of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from workers.artifacts import kinds
from workers.artifacts.archive import Archive
from workers.artifacts.findings import Finding, RefusalError, Verdict, finding, shown, verdict_of
from workers.artifacts.formats import FORMATS, promised_by
from workers.artifacts.keras.archive import read_keras
from workers.artifacts.keras.legacy_file import read_h5
from workers.artifacts.limits import Limits
from workers.artifacts.package.archive import read_package
from workers.artifacts.pt2.archive import read_pt2
from workers.artifacts.saved_model.archive import read_saved_model
from workers.artifacts.source import Container, Content, Reader, Source
from workers.artifacts.tar import TarArchive
from workers.artifacts.torch_checkpoint import read_state_dict
from workers.artifacts.torchscript.archive import read_torchscript
from workers.artifacts.weights.npy import read_npz
from workers.artifacts.weights.safetensors import read_safetensors

#: What reads each format to its end.
READERS: Mapping[str, Reader] = {
    "h5": read_h5,
    "keras": read_keras,
    "package": read_package,
    "pt2": read_pt2,
    "state_dict": read_state_dict,
    "safetensors": read_safetensors,
    "npz": read_npz,
    "saved_model": read_saved_model,
    "torchscript": read_torchscript,
}

_SEVERITIES = ("critical", "high", "medium", "low", "info")


@dataclass(frozen=True)
class Inspection:
    """What an inspection found.

    Attributes:
        format: a name of ``formats.FORMATS``; empty when the file is none of them.
        content: what was parsed, from which the canonical copy is written; None when parsing ended with a refusal.
        accepted: ids of findings that somebody who may has accepted, so that they quarantine no longer.
    """

    format: str
    findings: tuple[Finding, ...]
    content: Content | None = None
    accepted: frozenset[str] = frozenset()

    @property
    def framework(self) -> str:
        """``keras``, ``pytorch``, or empty."""
        if self.content is not None:
            return self.content.framework
        frameworks = FORMATS[self.format].frameworks if self.format else ()
        return frameworks[0] if len(frameworks) == 1 else ""

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.findings, self.accepted)

    @property
    def reason(self) -> str:
        return reason_of(self.findings, self.accepted)

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "framework": self.framework,
            "format": self.format,
            "findings": [entry.to_json() for entry in self.findings],
        }


def reason_of(findings: Sequence[Finding], accepted: Collection[str] = ()) -> str:
    """Return the sentence that explains a verdict: the worst finding with its place, and how many more there are."""
    deciding = [entry for entry in findings if entry.decides(accepted)]
    if not deciding:
        if any(entry.severity == "medium" for entry in findings):
            return "Every part of the file was parsed; what needs somebody's word was accepted."
        return "Every part of the file was parsed, and none of it needs code."
    worst = min(deciding, key=lambda entry: _SEVERITIES.index(entry.severity))
    place = f" ({worst.place})" if worst.place else ""
    more = f" There are {len(deciding) - 1} more findings." if len(deciding) > 1 else ""
    return f"{worst.title}{place}: {worst.detail}{more}"


def inspect(path: Path, *, filename: str, limits: Limits | None = None, accepted: Collection[str] = ()) -> Inspection:
    """Inspect a file that was uploaded as ``filename``; whatever is wrong with its content is a finding.

    Args:
        accepted: ids of quarantining findings that an administrator or a policy has accepted.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        try:
            return _inspect(stream, filename, limits or Limits(), frozenset(accepted))
        except RefusalError as error:
            return Inspection("", (error.finding,))


def open_source(stream: BinaryIO, limits: Limits) -> Source:
    """Return an upload with its container, which is read whole and checked.

    Raises:
        RefusalError: it is an archive, and not a canonical one.
    """
    head = kinds.read_head(stream)
    container: Container | None = None
    if head.startswith(kinds.ZIP_MAGIC):
        container = Archive(stream, limits)
    elif kinds.is_tar(head):
        container = TarArchive(stream, limits)
    return Source(stream, limits, container)


def _inspect(stream: BinaryIO, filename: str, limits: Limits, accepted: frozenset[str]) -> Inspection:
    head = kinds.read_head(stream)
    if not head:
        return Inspection("", (finding("ART-02.truncated", "The file is empty."),))
    source = open_source(stream, limits)
    if source.container is None:
        kind = kinds.describe_content(head)
    else:
        kind = kinds.describe_archive(source.container.entries)
    promised = promised_by(filename)
    if isinstance(source.container, TarArchive) and kind in FORMATS and ".tar" not in FORMATS[kind].suffixes:
        detail = f"The file is a tar archive with the entries of {FORMATS[kind].title}, which is a zip archive."
        return Inspection("", (finding("ART-02.archive", detail, filename),))
    if kind is None or kind not in READERS:
        return Inspection("", (_not_taken(kind, source, head, filename, promised),))
    try:
        content = READERS[kind](source)
    except RefusalError as error:
        return Inspection(kind, (*_misnamed(kind, filename, promised), error.finding))
    findings = (*_misnamed(content.format, filename, promised), *content.findings)
    return Inspection(content.format, findings, content, accepted)


def _misnamed(kind: str, filename: str, promised: Collection[str]) -> tuple[Finding, ...]:
    if not promised or kind in promised:
        return ()
    detail = f"The file is named {shown(filename)} and is {FORMATS[kind].title}; name it by what it is."
    return (finding("ART-02.name_and_content", detail, filename),)


def _not_taken(kind: str | None, source: Source, head: bytes, filename: str, promised: Collection[str]) -> Finding:
    """Return why a file is refused that is of no format with a reader."""
    if kind in FORMATS or kind in kinds.OTHER_MODELS:
        title = FORMATS[kind].title if kind in FORMATS else kind
        return finding("ART-03.format", f"The file is {title}. {kinds.TAKEN}", filename)
    if source.container is None and kind is None and kinds.ends_like_archive(source.stream):
        detail = f"The file ends like a zip archive and begins with {shown(head[:8])}; an archive begins at byte 0."
        return finding("ART-02.prefix_data", detail, "byte 0")
    what = kind or "an archive that holds no model"
    if kind is None and source.container is None:
        what = f"no known format (it begins with {shown(head[:8])})"
    if promised:
        detail = f"The file is named {shown(filename)} and is {what}. {kinds.TAKEN}"
        return finding("ART-02.name_and_content", detail, filename)
    return finding("ART-02.not_a_model", f"The file is {what}. {kinds.TAKEN}", filename)
