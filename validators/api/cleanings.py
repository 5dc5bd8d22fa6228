"""``cleanings/``: from one data set version to a cleaner one."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import FileResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import (
    IDEMPOTENCY_KEY,
    DatasetVersionField,
    Readable,
    StartsWork,
    StrictSerializer,
)
from governance.api.jobs import JobSerializer
from governance.exceptions import NotFound
from governance.idempotency import once
from governance.permissions import Action
from governance.storage import store
from validators.api.cleaned_rows import ChangedCellsSerializer, PartQuery, RemovedRowsSerializer, answer, part_asked
from validators.api.restorations import RestorationBody, RestorationSerializer
from validators.api.suites import SuiteField
from validators.cleaned_rows import changed_cells, removed_rows
from validators.models import Cleaning
from validators.services import cleanings, restorations

#: Files that a cleaning leaves: the field that keeps each and how it is called, by the name in the address.
FILES = {
    "quarantine": ("quarantine", "parquet"),
    "changes": ("changes", "parquet"),
    "flags": ("flags", "parquet"),
    "report": ("report_file", "json"),
}
_TYPES = {"parquet": "application/vnd.apache.parquet", "json": "application/json"}


class CleaningSerializer(serializers.ModelSerializer[Cleaning]):
    """What a cleaning did: the pinned plan, the report, and where the new version is.

    ``validation`` is that of the new version by the same job, with a suite; ``agrees`` says of a replay whether it came
    to the same digest as the cleaning that it replays.
    """

    dataset = DatasetVersionField(read_only=True)
    suite = SuiteField(read_only=True, allow_null=True)
    cleaned_to = DatasetVersionField(read_only=True, allow_null=True)
    validation = serializers.SerializerMethodField()
    replay_of = serializers.PrimaryKeyRelatedField[Cleaning](read_only=True, allow_null=True)
    files = serializers.SerializerMethodField()
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Cleaning
        fields = [
            "id",
            "dataset",
            "suite",
            "plan",
            "cleaned_to",
            "report",
            "validation",
            "replay_of",
            "agrees",
            "files",
            "job",
            "created_by",
            "created_at",
        ]

    def get_files(self, cleaning: Cleaning) -> dict[str, str]:
        """Return the digest of each file, by name."""
        digests = {name: getattr(cleaning, f"{field}_id") for name, (field, _) in FILES.items()}
        return {name: digest for name, digest in digests.items() if digest is not None}

    def get_validation(self, cleaning: Cleaning) -> int | None:
        """Return the number of the validation of the new version that the same job made."""
        validation = getattr(cleaning.job, "validation", None)
        return None if validation is None else int(validation.pk)


class CleaningBody(StrictSerializer):
    """What to clean, by a suite's ``meta.clean`` or by an explicit plan of ordered steps.

    With a suite what is left is validated against it; with both, the plan is run and the suite is the proof.
    """

    dataset = DatasetVersionField()
    suite = SuiteField(required=False)
    plan = serializers.ListField(child=serializers.DictField(), required=False)


class CleaningViewSet(Readable[Cleaning], StartsWork[Cleaning]):
    """Cleanings; a POST starts one."""

    queryset = Cleaning.objects.select_related(
        "dataset__dataset", "suite", "cleaned_to__dataset", "job__created_by", "job__validation", "created_by"
    )
    serializer_class = CleaningSerializer
    body_class = CleaningBody
    filterset_fields = ["dataset__dataset__name"]
    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.REQUEST_CLEANING,
        "file": Action.VIEW,
        "removed": Action.VIEW,
        "changed": Action.VIEW,
        "replay": Action.REPLAY_CLEANING,
        "restore": Action.RESTORE_ROWS,
    }

    def start(self, body: dict[str, Any]) -> Cleaning:
        return cleanings.request_cleaning(
            dataset=body["dataset"], suite=body.get("suite"), plan=body.get("plan"), by=self.user
        )

    @extend_schema(request=CleaningBody, responses={202: CleaningSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Start a job that makes a cleaned version."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=None, responses={202: CleaningSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: int) -> Response:
        """Start a job that runs the pinned plan again on the same content, to see that it comes to the same digest."""
        cleaning = self.get_object()
        self.read_body(StrictSerializer)
        return once(request, lambda: self.accepted(cleanings.replay_cleaning(cleaning=cleaning, by=self.user)))

    @extend_schema(request=RestorationBody, responses={202: RestorationSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: int) -> Response:
        """Start a job that makes a new version with some rows back at their places, for a reason."""
        cleaning = self.get_object()
        body = self.read_body(RestorationBody)

        def start() -> Response:
            made = restorations.restore_rows(cleaning=cleaning, rows=body["rows"], reason=body["reason"], by=self.user)
            location = reverse("api:restoration-detail", args=[made.pk])
            content = RestorationSerializer(made, context=self.get_serializer_context()).data
            return Response(content, status=202, headers={"Location": location})

        return once(request, start)

    @extend_schema(parameters=[PartQuery], responses={200: RemovedRowsSerializer})
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def removed(self, request: Request, pk: int) -> Response:
        """Read the rows that left, in order, each with every reason; ``step`` is the number of a step of the plan."""
        query = part_asked(request)
        query.pop("column", None)
        lines = removed_rows(self.get_object(), **query)
        return answer(request, lines, query)

    @extend_schema(parameters=[PartQuery], responses={200: ChangedCellsSerializer})
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def changed(self, request: Request, pk: int) -> Response:
        """Read the cells that changed, in the order of their rows: before, after and why."""
        query = part_asked(request)
        lines = changed_cells(self.get_object(), **query)
        return answer(request, lines, query)

    @extend_schema(
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, enum=tuple(FILES))],
        responses={(200, type_): OpenApiTypes.BINARY for type_ in _TYPES.values()},
    )
    @action(detail=True, methods=["get"], url_path="files/<str:name>")
    def file(self, request: Request, pk: int, name: str) -> FileResponse:
        """Download the removed rows, the changed cells or the flagged rows as Parquet, or the report as JSON."""
        cleaning = self.get_object()
        field, suffix = FILES.get(name, ("", ""))
        digest = getattr(cleaning, f"{field}_id") if field else None
        if digest is None:
            raise NotFound(f"{str(cleaning).capitalize()} has no file {name!r}; files are {', '.join(FILES)}.")
        return FileResponse(
            store().open(digest),
            as_attachment=True,
            filename=f"cleaning-{cleaning.pk}-{name}.{suffix}",
            content_type=_TYPES[suffix],
        )
