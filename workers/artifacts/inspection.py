"""Says what an uploaded file is and whether it may be loaded, without loading any of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from workers.artifacts import kinds
from workers.artifacts.archive import Archive, Limits
from workers.artifacts.findings import Finding, RefusalError, Verdict, finding, shown, verdict_of
from workers.artifacts.keras.archive import KerasFile, read_keras
from workers.artifacts.pt2.archive import Pt2, read_pt2

_FRAMEWORKS = {"keras": "keras", "pt2": "pytorch"}
_SEVERITIES = ("critical", "high", "medium", "low", "info")


@dataclass(frozen=True)
class Inspection:
    """What an inspection found.

    Attributes:
        format: ``keras`` or ``pt2``; empty when the file is neither.
        content: what was parsed, from which the canonical copy is written; None when parsing ended with a refusal.
    """

    format: str
    findings: tuple[Finding, ...]
    content: KerasFile | Pt2 | None = None

    @property
    def framework(self) -> str:
        """``keras``, ``pytorch``, or empty."""
        return _FRAMEWORKS.get(self.format, "")

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.findings)

    @property
    def reason(self) -> str:
        return reason_of(self.findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "framework": self.framework,
            "format": self.format,
            "findings": [entry.to_json() for entry in self.findings],
        }


def reason_of(findings: Sequence[Finding]) -> str:
    """Return the sentence that explains a verdict: the worst finding with its place, and how many more there are."""
    deciding = [entry for entry in findings if entry.severity in ("critical", "high", "medium")]
    if not deciding:
        return "Every part of the file was parsed, and none of it needs code."
    worst = min(deciding, key=lambda entry: _SEVERITIES.index(entry.severity))
    place = f" ({worst.place})" if worst.place else ""
    more = f" There are {len(deciding) - 1} more findings." if len(deciding) > 1 else ""
    return f"{worst.title}{place}: {worst.detail}{more}"


def inspect(path: Path, *, filename: str, limits: Limits | None = None) -> Inspection:
    """Inspect a file that was uploaded as ``filename``; whatever is wrong with its content is a finding.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        try:
            return _inspect(stream, filename, limits)
        except RefusalError as error:
            return Inspection("", (error.finding,))


def _inspect(stream: BinaryIO, filename: str, limits: Limits | None) -> Inspection:
    head = kinds.read_head(stream)
    promised = kinds.SUFFIXES.get(Path(filename).suffix.lower(), "")
    if not head:
        return Inspection("", (finding("ART-02.truncated", "The file is empty."),))
    if not head.startswith(kinds.ZIP_MAGIC):
        return Inspection("", (_other_content(stream, head, filename, promised),))
    archive = Archive(stream, limits)
    kind = kinds.describe_archive(archive.entries)
    if kind not in _FRAMEWORKS:
        return Inspection("", (_other_archive(kind, filename, promised),))
    findings: tuple[Finding, ...] = ()
    if promised and promised != kind:
        detail = f"The file is named {shown(filename)} and holds a .{kind} archive; name it by what it is."
        findings = (finding("ART-02.name_and_content", detail, filename),)
    try:
        content = read_keras(archive) if kind == "keras" else read_pt2(archive)
    except RefusalError as error:
        return Inspection(kind, (*findings, error.finding))
    return Inspection(kind, (*findings, *content.findings), content)


def _other_content(stream: BinaryIO, head: bytes, filename: str, promised: str) -> Finding:
    description = kinds.describe_content(head)
    if description in kinds.MODEL_DESCRIPTIONS:
        return finding("ART-03.format", f"The file is {description}. {kinds.TAKEN}", filename)
    if description is None and kinds.ends_like_archive(stream):
        detail = f"The file ends like a zip archive and begins with {shown(head[:8])}; an archive begins at byte 0."
        return finding("ART-02.prefix_data", detail, "byte 0")
    what = description or f"no known format (it begins with {shown(head[:8])})"
    if promised:
        detail = f"The file is named {shown(filename)} and is {what}. {kinds.TAKEN}"
        return finding("ART-02.name_and_content", detail, filename)
    return finding("ART-02.not_a_model", f"The file is {what}. {kinds.TAKEN}", filename)


def _other_archive(description: str | None, filename: str, promised: str) -> Finding:
    if description is not None:
        return finding("ART-03.format", f"The file is {description}. {kinds.TAKEN}", filename)
    identifier = "ART-02.name_and_content" if promised else "ART-02.not_a_model"
    detail = f"The file is a zip archive that holds no model. {kinds.TAKEN}"
    return finding(identifier, detail, filename)
