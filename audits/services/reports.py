"""Freeze the reports of an audit: built once, stored by digest, never built again."""

from __future__ import annotations

import json

from audits.models import Audit, Report
from audits.reports.document import build_json
from audits.reports.page import build_html
from governance.storage import store


def freeze(audit: Audit) -> list[Report]:
    """Build every format of the report of an ended audit and keep the files; runs inside a transaction."""
    contents = {
        Report.Format.JSON: json.dumps(build_json(audit), indent=2, ensure_ascii=False, allow_nan=False),
        Report.Format.HTML: build_html(audit),
    }
    return [
        Report.objects.create(audit=audit, format=format_, file=store().put([content.encode()]))
        for format_, content in contents.items()
    ]
