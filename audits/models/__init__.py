"""The entities of an audit, one file each."""

from audits.models.audit import Audit, CheckResult, CheckStatus, Verdict
from audits.models.explanation import Explanation, ExplanationComment
from audits.models.finding import Disposition, Finding, FindingComment, Severity
from audits.models.report import Report

__all__ = [
    "Audit",
    "CheckResult",
    "CheckStatus",
    "Disposition",
    "Explanation",
    "ExplanationComment",
    "Finding",
    "FindingComment",
    "Report",
    "Severity",
    "Verdict",
]
