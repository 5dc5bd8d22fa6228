"""Gather the evidence pack of an audit: what somebody needs to check it without this installation."""

from __future__ import annotations

from collections.abc import Iterable

from audits.models import Audit
from audits.services.provenance import report_name
from governance.exceptions import StateConflict
from governance.models import Event, SignedStatement, StatementKind
from governance.services import bom, events
from governance.storage import store
from workers.protocol import canonical_json
from workers.provenance import pack as layout

_REPORT_FILES = {"json": layout.REPORT_JSON, "html": layout.REPORT_HTML}


def evidence_pack(audit: Audit) -> bytes:
    """Return the pack of an ended audit; the same record gives the same bytes.

    Raises:
        StateConflict: the audit has no report, because its job has not ended with a result.
    """
    reports = list(audit.reports.all())
    if not reports:
        raise StateConflict(f"{str(audit).capitalize()} has no report to pack: its job has not ended with a result.")
    until = audit.job.finished_at  # what was measured later is not what this audit knew
    document = bom.bill_of_materials(audit.version, until=until)
    named = bom.datasets_of(audit.version, bom.newest_evaluation(audit.version, until=until))
    datasets = {dataset.pk: dataset for dataset in (audit.dataset, audit.training_data, *named) if dataset}.values()
    statements = _statements(
        [
            (StatementKind.VERSION, audit.version.ref),
            *((StatementKind.DATASET, dataset.ref) for dataset in datasets),
            (StatementKind.AUDIT, str(audit.pk)),
            *((StatementKind.REPORT, report_name(report)) for report in reports),
        ]
    )
    subjects = [audit.version.ref, *(dataset.ref for dataset in datasets)]
    files = {
        **{_REPORT_FILES[report.format]: _stored(report.digest) for report in reports},
        **{_file_of(statement): canonical_json(statement.envelope) for statement in statements},
        **{
            f"{layout.KEYS_FOLDER}/{statement.key_id}.pem": statement.key.public_key.encode()
            for statement in statements
        },
        layout.BOM: canonical_json(document),
        layout.EVENTS: canonical_json(
            [
                {**events.as_json(event), "mac": event.mac}
                for event in Event.objects.filter(subject__in=subjects).order_by("sequence")
            ]
        ),
    }
    return layout.with_manifest(files, audit=audit.pk).to_bytes()


def _statements(things: Iterable[tuple[StatementKind, str]]) -> list[SignedStatement]:
    """Return the statements about some things; one that nobody signed is missed by whoever verifies."""
    found = (
        SignedStatement.objects.filter(kind=kind, name=name).select_related("key").first() for kind, name in things
    )
    return [statement for statement in found if statement is not None]


def _file_of(statement: SignedStatement) -> str:
    return f"{layout.STATEMENTS_FOLDER}/{statement.kind}-{statement.name.replace('/', '-')}.json"


def _stored(digest: str) -> bytes:
    with store().open(digest) as stream:
        return stream.read()
