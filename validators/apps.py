"""The app of data evidence: its job kinds, its events, its kind of evidence."""

from django.apps import AppConfig

EVENTS = (
    "suite.created",
    "suite.required",
    "proposal.requested",
    "proposal.ended",
    "proposal.decided",
    "proposal.accepted",
    "validation.requested",
    "validation.ended",
    "waiver.granted",
    "cleaning.requested",
    "dataset.cleaned",
    "split.requested",
    "dataset.split",
    "comparison.requested",
    "comparison.ended",
    "datasheet.written",
    "screening.requested",
    "screening.ended",
    "cleaning.replayed",
    "restoration.requested",
    "dataset.restored",
)


class ValidatorsConfig(AppConfig):
    name = "validators"
    verbose_name = "Data evidence"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from governance import evidence, job_kinds
        from governance.services import events
        from validators import destinations, gates, results
        from validators.models import Validation
        from validators.services import cleanings, comparisons, proposals, restorations, screenings, splits, validations

        events.register(*EVENTS)
        job_kinds.register(
            job_kinds.JobKind(
                name="validation",
                title="Validation",
                runner="validators.engine.validation:run",
                result_schema=results.VALIDATION,
                record=validations.record_validation,
                leads_to=destinations.of_validation,
            )
        )
        job_kinds.register(
            job_kinds.JobKind(
                name="cleaning",
                title="Cleaning",
                runner="validators.engine.cleaning:run",
                result_schema=results.CLEANING,
                record=cleanings.record_cleaning,
                leads_to=destinations.of_cleaning,
            )
        )
        job_kinds.register(
            job_kinds.JobKind(
                name="split",
                title="Split",
                runner="validators.engine.splitting:run",
                result_schema=results.SPLIT,
                record=splits.record_split,
                leads_to=destinations.of_split,
            )
        )
        job_kinds.register(
            job_kinds.JobKind(
                name="comparison",
                title="Comparison of data",
                runner="validators.engine.comparison:run",
                result_schema=results.COMPARISON,
                record=comparisons.record_comparison,
                leads_to=destinations.of_comparison,
            )
        )
        job_kinds.register(
            job_kinds.JobKind(
                name="screening",
                title="Screening",
                runner="validators.engine.screening.job:run",
                result_schema=results.SCREENING,
                record=screenings.record_screening,
                leads_to=destinations.of_screening,
            )
        )
        job_kinds.register(
            job_kinds.JobKind(
                name="suggestion",
                title="Suggestion of a suite",
                runner="validators.engine.suggestion.job:run",
                result_schema=results.SUGGESTION,
                record=proposals.record_proposal,
                leads_to=destinations.of_proposal,
            )
        )
        job_kinds.register(
            job_kinds.JobKind(
                name="restoration",
                title="Restoration",
                runner="validators.engine.restoring:run",
                result_schema=results.RESTORATION,
                record=restorations.record_restoration,
                leads_to=destinations.of_restoration,
            )
        )
        evidence.register(evidence.of_model("validation", Validation, problem=gates.validation_problem))
