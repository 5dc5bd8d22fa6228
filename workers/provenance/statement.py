"""in-toto statements: a predicate about subjects that are named by digest.

Source: in-toto attestation framework, spec v1 (Statement, ResourceDescriptor, DigestSet).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from workers.artifacts import strict_json
from workers.artifacts.findings import RefusalError
from workers.protocol import canonical_json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

#: How a retrained version came to be; SLSA provenance v1.
PROVENANCE = "https://slsa.dev/provenance/v1"
#: What was uploaded, and what the inspection made of it.
REGISTRATION = "urn:assay:predicate:registration:1"
#: Which table a data set version is, and where it came from.
DATASET = "urn:assay:predicate:dataset:1"
#: What an evaluation or an audit measured.
EVAL_RESULT = "urn:assay:predicate:eval-result:1"
#: Which audit a report is of.
REPORT = "urn:assay:predicate:report:1"

#: The build type of a retraining, in its provenance.
RETRAINING = "urn:assay:build:retraining:1"

SHA256 = "sha256"
#: The Merkle root over the columns of a table (``workers.datasets.canonical``): equal rows, equal root.
TABLE = "assayTable"

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_HEXADECIMAL = re.compile(r"[0-9a-f]{64}")
_MAX_SUBJECTS = 64


class StatementError(ValueError):
    """The content is no statement; the sentence says why."""


@dataclass(frozen=True)
class Subject:
    """What a statement is about: a name for people, digests for everybody else (algorithm -> hex)."""

    name: str
    digest: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "digest": dict(self.digest)}


@dataclass(frozen=True)
class Statement:
    """A predicate about subjects."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, Any]

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read a statement; fields that the specification does not have are ignored, as it says.

        Raises:
            StatementError: it is not one, or its JSON has more than one reading.
        """
        try:
            document = strict_json.parse(content, "the statement")
        except RefusalError as error:
            raise StatementError(f"The statement cannot be read: {error}") from error
        if not isinstance(document, Mapping) or document.get("_type") != STATEMENT_TYPE:
            raise StatementError(f"A statement is an object whose _type is {STATEMENT_TYPE}.")
        subjects, predicate = document.get("subject"), document.get("predicate")
        if not isinstance(subjects, list) or not 1 <= len(subjects) <= _MAX_SUBJECTS:
            raise StatementError(f"A statement has 1 to {_MAX_SUBJECTS} subjects.")
        if not isinstance(document.get("predicateType"), str) or not isinstance(predicate, Mapping):
            raise StatementError("A statement has a predicateType, a text, and a predicate, an object.")
        return cls(tuple(_subject(entry) for entry in subjects), document["predicateType"], predicate)

    def to_bytes(self) -> bytes:
        """Return the payload of an envelope: canonical JSON."""
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [subject.to_json() for subject in self.subjects],
                "predicateType": self.predicate_type,
                "predicate": self.predicate,
            }
        )

    @property
    def digests(self) -> list[str]:
        """Every digest of every subject as the record writes it, ``sha256:<hex>``."""
        return [f"sha256:{value}" for subject in self.subjects for value in subject.digest.values()]

    def has_subject(self, digest: str, *, algorithm: str = SHA256) -> bool:
        """Tell whether the statement is about the content of a digest, ``sha256:<hex>``."""
        return any(f"sha256:{subject.digest.get(algorithm)}" == digest for subject in self.subjects)


def digest_set(digest: str, *, algorithm: str = SHA256) -> dict[str, str]:
    """Return ``sha256:<hex>`` as in-toto writes it: algorithm -> hex."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise ValueError(f"{digest!r} is not sha256:<64 lower-case hexadecimal digits>.")
    return {algorithm: match.group(1)}


def _subject(document: Any) -> Subject:
    if not isinstance(document, Mapping) or not isinstance(document.get("digest"), Mapping):
        raise StatementError("A subject is an object with a digest, an object.")
    name, digest = document.get("name", ""), document["digest"]
    if not isinstance(name, str) or not digest or not all(_is_digest(*entry) for entry in digest.items()):
        raise StatementError("A subject has a name, a text, and digests of 64 lower-case hexadecimal digits.")
    return Subject(name, dict(digest))


def _is_digest(algorithm: Any, value: Any) -> bool:
    return isinstance(algorithm, str) and isinstance(value, str) and _HEXADECIMAL.fullmatch(value) is not None
