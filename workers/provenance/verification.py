"""What an evidence pack shows to somebody who has nothing but the pack, and perhaps a key that they trust.

A pack that was changed can be made consistent with itself again by whoever changed it, all but the signatures. So
everything that a reader rests on (report, model, data, audit) has to be named by a signed statement, and one that is
missing is a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

from workers.artifacts import strict_json
from workers.artifacts.findings import RefusalError
from workers.protocol import digest_of_bytes
from workers.provenance import pack as layout
from workers.provenance.dsse import IN_TOTO, Envelope, EnvelopeError
from workers.provenance.keys import KeyFormatError, PublicKey
from workers.provenance.pack import Pack, PackError
from workers.provenance.statement import (
    DATASET,
    EVAL_RESULT,
    PROVENANCE,
    REGISTRATION,
    REPORT,
    TABLE,
    Statement,
    StatementError,
)


class Finding(StrEnum):
    """How one thing came out."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Outcome:
    """One thing that was looked at, and how it came out; ``check`` is a stable word."""

    finding: Finding
    check: str
    sentence: str


@dataclass(frozen=True)
class SignedBy:
    """A statement of the pack whose signature holds, with the key that made it."""

    name: str
    statement: Statement
    key: PublicKey


@dataclass
class _Reading:
    """What was found so far, and what later checks need of it."""

    pack: Pack
    trusted: Sequence[PublicKey]
    outcomes: list[Outcome] = field(default_factory=list)
    signed: list[SignedBy] = field(default_factory=list)
    report: Mapping[str, Any] = field(default_factory=dict)

    def holds(self, check: str, sentence: str) -> None:
        self.outcomes.append(Outcome(Finding.HOLDS, check, sentence))

    def fails(self, check: str, sentence: str) -> None:
        self.outcomes.append(Outcome(Finding.FAILS, check, sentence))

    def unknown(self, check: str, sentence: str) -> None:
        self.outcomes.append(Outcome(Finding.UNKNOWN, check, sentence))

    def of_type(self, *types: str) -> Iterator[SignedBy]:
        return (entry for entry in self.signed if entry.statement.predicate_type in types)


def verify(pack: Pack, trusted: Sequence[PublicKey] = ()) -> list[Outcome]:
    """Check a pack and say what holds, what does not, and what cannot be known from it.

    Args:
        pack: as it was read; every byte may be a lie.
        trusted: keys that the reader has from elsewhere. Without any, the keys in the pack have to do, and they
            only show that the pack agrees with itself.
    """
    reading = _Reading(pack, trusted)
    for check, step in _STEPS.items():
        try:
            step(reading)
        except PackError as error:
            reading.fails(check, str(error))
    _limits(reading)
    return reading.outcomes


def _manifest(reading: _Reading) -> None:
    document = reading.pack.json(layout.MANIFEST)
    files = document.get("files") if isinstance(document, Mapping) else None
    if not isinstance(files, Mapping) or document.get("schema") != layout.SCHEMA_NAME:
        raise PackError(f"{layout.MANIFEST} is no manifest of the schema {layout.SCHEMA_NAME}.")
    there = {name: content for name, content in reading.pack.files.items() if name != layout.MANIFEST}
    problems = [f"{name} is in the manifest and not in the pack." for name in sorted(set(files) - set(there))]
    problems += [f"{name} is in the pack and not in the manifest." for name in sorted(set(there) - set(files))]
    for name in sorted(set(files) & set(there)):
        content = there[name]
        if files[name] != {"digest": digest_of_bytes(content), "size_bytes": len(content)}:
            problems.append(f"{name} is not the content that the manifest names.")
    for problem in problems:
        reading.fails("manifest", problem)
    if not problems:
        reading.holds("manifest", f"The {len(there)} files are those that the manifest names, with their digests.")


def _statements(reading: _Reading) -> None:
    keys = list(reading.trusted) or _keys_of_the_pack(reading)
    names = reading.pack.under(layout.STATEMENTS_FOLDER)
    if not names:
        raise PackError("The pack has no signed statement: nobody vouches for anything in it.")
    source = "that you gave" if reading.trusted else "in the pack"
    for name, content in names.items():
        try:
            envelope = Envelope.from_json(strict_json.parse(content, name))
            if envelope.payload_type != IN_TOTO:
                raise EnvelopeError(f"The payload is {envelope.payload_type[:80]!r}, not {IN_TOTO}.")
            signers = envelope.signers(keys)
            statement = Statement.parse(envelope.payload)
        except (RefusalError, EnvelopeError, StatementError) as error:
            reading.fails("signature", f"{name}: {error}")
            continue
        if signers:
            reading.signed.append(SignedBy(name, statement, signers[0]))
            reading.holds("signature", f"{name} is signed by the key {signers[0].id}, {source}.")
        else:
            reading.fails("signature", f"{name} is signed by none of the keys {source}.")


def _keys_of_the_pack(reading: _Reading) -> list[PublicKey]:
    keys = []
    for name, content in reading.pack.under(layout.KEYS_FOLDER).items():
        try:
            key = PublicKey.read(content)
        except KeyFormatError as error:
            reading.fails("key", f"{name}: {error}")
            continue
        if name != f"{layout.KEYS_FOLDER}/{key.id}.pem":
            reading.fails("key", f"{name} holds the key {key.id}.")
            continue
        keys.append(key)
    return keys


def _report(reading: _Reading) -> None:
    """Both formats of the report are those that signed statements name; what the JSON says is then believed."""
    found = {name: _statement_about(reading, name) for name in (layout.REPORT_JSON, layout.REPORT_HTML)}
    if found[layout.REPORT_JSON] is None:
        return
    document = reading.pack.json(layout.REPORT_JSON)
    reading.report = document if isinstance(document, Mapping) else {}
    result = _text(document, "audit", "result_digest")
    for name, entry in found.items():
        if entry is None:
            continue
        if entry.statement.predicate.get("resultDigest") == result:
            reading.holds("report", f"{name} is the report that {entry.name} names.")
        else:
            # Two true reports of two audits would otherwise pass for one.
            reading.fails("report", f"{name} is the report of another audit than {layout.REPORT_JSON}.")


def _statement_about(reading: _Reading, name: str) -> SignedBy | None:
    if name not in reading.pack.files:
        reading.fails("report", f"The pack has no file {name}.")
        return None
    digest = digest_of_bytes(reading.pack.files[name])
    found = next((entry for entry in reading.of_type(REPORT) if entry.statement.has_subject(digest)), None)
    if found is None:
        reading.fails("report", f"No signed statement names {name} as it is here, {digest}.")
    return found


def _model(reading: _Reading) -> None:
    digest = _text(_demand_report(reading), "model", "digest")
    _demand_statement(reading, "model", digest, [REGISTRATION, PROVENANCE])


def _dataset(reading: _Reading) -> None:
    digest = _text(_demand_report(reading), "dataset", "digest")
    _demand_statement(reading, "dataset", digest, [DATASET], algorithm=TABLE)


def _training_data(reading: _Reading) -> None:
    if _demand_report(reading).get("training_data") is not None:
        digest = _text(reading.report, "training_data", "digest")
        _demand_statement(reading, "training_data", digest, [DATASET], algorithm=TABLE)


def _demand_statement(
    reading: _Reading, check: str, digest: str, types: Sequence[str], *, algorithm: str = "sha256"
) -> None:
    for entry in reading.of_type(*types):
        if entry.statement.has_subject(digest, algorithm=algorithm):
            reading.holds(check, f"The {_words(check)} of the report, {digest}, is what {entry.name} is about.")
            return
    reading.fails(check, f"No signed statement is about the {_words(check)} of the report, {digest}.")


def _audit(reading: _Reading) -> None:
    report = _demand_report(reading)
    result = _text(report, "audit", "result_digest")
    for entry in reading.of_type(EVAL_RESULT):
        predicate = entry.statement.predicate
        if predicate.get("resultDigest") != result:
            continue
        said = {
            "verdict": (predicate.get("verdict"), _text(report, "audit", "verdict")),
            "criteria": (predicate.get("criteriaDigest"), _text(report, "audit", "criteria_digest")),
            "data set": (
                _text(predicate, "dataset", "digest", TABLE),
                _text(report, "dataset", "digest").removeprefix("sha256:"),
            ),
        }
        differing = [name for name, (signed, reported) in said.items() if signed != reported]
        if not entry.statement.has_subject(_text(report, "model", "digest")):
            differing.append("model")
        if differing:
            reading.fails("audit", f"{entry.name} and the report differ in {', '.join(differing)}.")
        else:
            reading.holds("audit", f"Model, data set, criteria and verdict of the report are those of {entry.name}.")
        return
    reading.fails("audit", f"No signed statement is about the results of the report, {result}.")


def _bom(reading: _Reading) -> None:
    """The BOM is unsigned: the digests in it are compared with those that statements name."""
    document = reading.pack.json(layout.BOM)
    model = _text(_demand_report(reading), "model", "digest")
    component = _value(document, "metadata", "component")
    if f"sha256:{_sha256_of(component)}" != model:
        reading.fails("bom", f"The model of {layout.BOM} is not the one of the report, {model}.")
        return
    components = document.get("components", []) if isinstance(document, Mapping) else []
    data = [entry for entry in components if isinstance(entry, Mapping) and entry.get("type") == "data"]
    known = {digest for entry in reading.of_type(DATASET) for digest in entry.statement.digests}
    strange = [str(entry.get("name"))[:80] for entry in data if f"sha256:{_sha256_of(entry)}" not in known]
    if strange:
        reading.fails("bom", f"{layout.BOM} names data that no signed statement is about: {', '.join(strange)}.")
    else:
        reading.holds("bom", f"Model and data sets of {layout.BOM} have the digests that signed statements name.")


def _events(reading: _Reading) -> None:
    """Events that follow each other are linked; whether they are the installation's takes its event key."""
    events = reading.pack.json(layout.EVENTS)
    if not isinstance(events, list) or not all(
        isinstance(event, Mapping) and isinstance(event.get("sequence"), int) for event in events
    ):
        raise PackError(f"{layout.EVENTS} is not a list of events.")
    result = _text(_demand_report(reading), "audit", "result_digest")
    ended = [event for event in events if event.get("name") == "audit.ended"]
    if not any(_value(event, "detail", "digest") == result for event in ended):
        reading.fails("events", f"No event tells of the end of the audit with the results {result}.")
        return
    for before, after in pairwise(events):
        if after["sequence"] <= before["sequence"]:
            reading.fails("events", f"Event {after['sequence']} stands behind event {before['sequence']}.")
            return
        if after["sequence"] == before["sequence"] + 1 and after.get("previous") != before.get("mac"):
            reading.fails("events", f"Event {after['sequence']} does not follow the one before it.")
            return
    reading.holds("events", f"The {len(events)} events are in order, and neighbours are linked.")


def _limits(reading: _Reading) -> None:
    """Say what no reader of a pack can know."""
    if not reading.trusted:
        reading.unknown(
            "key",
            "Whose the keys are: they came with the pack, so it only agrees with itself. Ask the installation for its "
            "public key by another way and give it with --key.",
        )
    reading.unknown("events", "Whether the events are the installation's: their MACs take its event key to check.")
    reading.unknown("later", "What happened since the pack was made: a finding, a voided approval, a retired key.")
    reading.unknown("files", "Whether a file that you hold is the model or the data: compare its SHA-256.")
    reading.unknown("bom", "What the BOM says beside these digests: it is not signed.")
    reading.unknown("truth", "Whether the numbers are right: run the job folder again to see.")


def _demand_report(reading: _Reading) -> Mapping[str, Any]:
    if not reading.report:
        raise PackError(f"It cannot be compared: no signed statement names {layout.REPORT_JSON} as it is here.")
    return reading.report


def _value(document: Any, *path: str) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def _text(document: Any, *path: str) -> str:
    value = _value(document, *path)
    return value if isinstance(value, str) else ""


def _sha256_of(component: Any) -> str:
    hashes = _value(component, "hashes")
    entries: Iterable[Any] = hashes if isinstance(hashes, list) else []
    return next((_text(entry, "content") for entry in entries if _value(entry, "alg") == "SHA-256"), "")


def _words(check: str) -> str:
    return check.replace("_", " ")


#: Each step reads what the ones before it found, and is named as what it cannot look at fails.
_STEPS: Mapping[str, Callable[[_Reading], None]] = {
    "manifest": _manifest,
    "statements": _statements,
    "report": _report,
    "model": _model,
    "dataset": _dataset,
    "training_data": _training_data,
    "audit": _audit,
    "bom": _bom,
    "events": _events,
}
