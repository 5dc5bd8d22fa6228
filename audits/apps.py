"""The app of model evidence: its job kinds, its events, its kinds of evidence."""

from django.apps import AppConfig

EVENTS = (
    "explanation.requested",
    "explanation.ended",
    "explanation.commented",
    "audit.requested",
    "audit.ended",
    "finding.raised",
    "finding.changed",
    "finding.commented",
)


class AuditsConfig(AppConfig):
    name = "audits"
    verbose_name = "Model evidence"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from audits import destinations, gates, results
        from audits.models import Audit, Explanation
        from audits.services import provenance
        from audits.services.audits import record_audit
        from audits.services.explanations import record_explanation
        from governance import evidence, job_kinds
        from governance.services import events

        events.register(*EVENTS)
        provenance.register_kinds()
        job_kinds.register(
            job_kinds.JobKind(
                name="explanation",
                title="Explanation",
                runner="audits.engine.explanation:run",
                result_schema=results.EXPLANATION,
                record=record_explanation,
                leads_to=destinations.of_explanation,
            )
        )
        job_kinds.register(
            job_kinds.JobKind(
                name="audit",
                title="Audit",
                runner="audits.engine.audit:run",
                result_schema=results.AUDIT,
                record=record_audit,
                leads_to=destinations.of_audit,
            )
        )
        problem = gates.explanation_problem
        evidence.register(evidence.of_model("explanation", Explanation, problem=problem, refusal=problem))
        evidence.register(evidence.of_model("audit", Audit, problem=gates.audit_problem))
