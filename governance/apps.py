"""The app of the record: its job kinds, its events, its kinds of evidence."""

from django.apps import AppConfig

EVENTS = (
    "user.created",
    "token.created",
    "model.registered",
    "version.uploaded",
    "version.inspected",
    "version.loaded",
    "version.released",
    "version.rejected",
    "dataset.created",
    "dataset.uploaded",
    "dataset.imported",
    "training.requested",
    "training.ended",
    "evaluation.requested",
    "evaluation.ended",
    "review.requested",
    "review.decided",
    "review.voided",
    "alias.moved",
    "policy.created",
    "signing_key.created",
    "signing_key.retired",
    "statement.signed",
)


class GovernanceConfig(AppConfig):
    name = "governance"
    verbose_name = "Record"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from governance import (  # noqa: F401 - three register system checks
            checks,
            evidence,
            gates,
            job_kinds,
            results,
            signing_checks,
        )
        from governance.generics import make_subscriptable
        from governance.models import Evaluation, Training
        from governance.services import datasets, evaluations, events, inspections, provenance, trainings
        from governance.views import destinations

        make_subscriptable()
        events.register(*EVENTS)
        provenance.register_kinds()
        for kind in (
            job_kinds.JobKind(
                name="model_inspection",
                title="Inspection",
                runner="workers.artifacts.job:run",
                result_schema=results.MODEL_INSPECTION,
                record=inspections.record_inspection,
                record_failure=inspections.record_failure,
                leads_to=destinations.of_inspection,
            ),
            job_kinds.JobKind(
                name="model_loading",
                title="Loading",
                runner="workers.artifacts.loading:run",
                result_schema=results.MODEL_LOADING,
                record=inspections.record_loading,
                record_failure=inspections.record_failure,
                leads_to=destinations.of_inspection,
            ),
            job_kinds.JobKind(
                name="dataset_import",
                title="Import",
                runner="workers.datasets.importing:run",
                result_schema=results.DATASET_IMPORT,
                record=datasets.record_import,
                record_failure=datasets.record_failed_import,
                leads_to=destinations.of_import,
            ),
            job_kinds.JobKind(
                name="training",
                title="Training",
                runner="workers.training:run",
                result_schema=results.TRAINING,
                record=trainings.record_training,
                leads_to=destinations.of_training,
            ),
            job_kinds.JobKind(
                name="evaluation",
                title="Evaluation",
                runner="workers.evaluation:run",
                result_schema=results.EVALUATION,
                record=evaluations.record_evaluation,
                leads_to=destinations.of_evaluation,
            ),
        ):
            job_kinds.register(kind)
        evidence.register(
            evidence.of_model("training", Training, digest=trainings.digest_of, problem=trainings.training_problem)
        )
        evidence.register(evidence.of_model("evaluation", Evaluation, problem=evaluations.evaluation_problem))
