"""Evidence packs: a zip of a report, the signed statements it rests on, its BOM, keys and events, with a manifest.

::

    manifest.json       every other file with its SHA-256 and size
    report.json  report.html
    bom.json            CycloneDX of the version
    statements/         one DSSE envelope a file
    keys/<id>.pem       the public keys of the installation
    events.json         the events about what the pack is about

The same files give the same bytes: nothing is compressed, and no entry has a time.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Self

from workers.artifacts import strict_json
from workers.artifacts.archive import Archive
from workers.artifacts.findings import RefusalError
from workers.artifacts.limits import Limits
from workers.protocol import canonical_json, digest_of_bytes

SCHEMA_NAME = "urn:assay:pack:1"

MANIFEST = "manifest.json"
REPORT_JSON = "report.json"
REPORT_HTML = "report.html"
BOM = "bom.json"
EVENTS = "events.json"
STATEMENTS_FOLDER = "statements"
KEYS_FOLDER = "keys"

MAX_FILE_BYTES = strict_json.MAX_BYTES
LIMITS = Limits(entries=1_000, total_bytes=256 * 1024**2, name_bytes=200)

_NAME = re.compile(
    rf"{MANIFEST}|{REPORT_JSON}|{REPORT_HTML}|{BOM}|{EVENTS}"
    rf"|{STATEMENTS_FOLDER}/[a-z0-9][a-z0-9._-]{{0,120}}\.json|{KEYS_FOLDER}/[0-9a-f]{{64}}\.pem"
)


class PackError(ValueError):
    """The file cannot be read as a pack; the sentence says why and where."""


@dataclass(frozen=True)
class Pack:
    """The files of a pack by name, read whole; nothing is believed yet."""

    files: Mapping[str, bytes]

    @classmethod
    def read(cls, stream: BinaryIO) -> Self:
        """Read a pack strictly, within limits.

        Raises:
            PackError: it is no canonical zip, has a name that a pack does not have, or is larger than the limits.
        """
        try:
            archive = Archive(stream, LIMITS)
            for name in archive.entries:
                if _NAME.fullmatch(name) is None:
                    raise PackError(f"A pack has no file {ascii(name)[:120]}.")
            return cls({name: archive.read(name, MAX_FILE_BYTES) for name in archive.entries})
        except RefusalError as error:
            place = f" ({error.finding.place})" if error.finding.place else ""
            raise PackError(f"{error}{place}") from error

    def to_bytes(self) -> bytes:
        """Return the zip: files in the order of their names, stored as they are."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
            for name, value in sorted(self.files.items()):
                entry = zipfile.ZipInfo(name)  # its time is the first that a zip can hold
                entry.external_attr = 0o100644 << 16
                archive.writestr(entry, value)
        return content.getvalue()

    def under(self, folder: str) -> dict[str, bytes]:
        """Return the files of a folder, by their whole name."""
        return {name: content for name, content in sorted(self.files.items()) if name.startswith(f"{folder}/")}

    def json(self, name: str) -> Any:
        """Return the value of a JSON file, read strictly.

        Raises:
            PackError: it is missing, or it is not JSON of one reading.
        """
        if name not in self.files:
            raise PackError(f"The pack has no file {name}.")
        try:
            return strict_json.parse(self.files[name], name)
        except RefusalError as error:
            raise PackError(f"{name}: {error}") from error


def with_manifest(files: Mapping[str, bytes], *, audit: int) -> Pack:
    """Return a pack of some files, with the manifest that names them all."""
    manifest = {
        "schema": SCHEMA_NAME,
        "audit": audit,
        "files": {
            name: {"digest": digest_of_bytes(content), "size_bytes": len(content)} for name, content in files.items()
        },
    }
    return Pack({**files, MANIFEST: canonical_json(manifest)})
