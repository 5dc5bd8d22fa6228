"""The app of the record: its job kinds, its events, its kinds of evidence."""

from django.apps import AppConfig

EVENTS = (
    "user.created",
    "model.registered",
    "version.uploaded",
    "version.inspected",
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
    "token.created",
    "job.submitted",
    "job.started",
    "job.retried",
    "job.cancel_requested",
    "job.ended",
)


class GovernanceConfig(AppConfig):
    name = "governance"
    verbose_name = "Record"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from governance import gates  # noqa: F401 - its system check registers itself
        from governance.services import events

        events.register(*EVENTS)
