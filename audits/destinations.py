"""Where the jobs of model evidence lead: the page of the explanation or the audit."""

from __future__ import annotations

from django.urls import reverse

from audits.models import Audit, Explanation
from governance.models import Job
from governance.views.destinations import Destination


def of_explanation(job: Job) -> Destination:
    found = Explanation.objects.filter(job=job).first()
    return None if found is None else (str(found), reverse("explanation", args=[found.pk]))


def of_audit(job: Job) -> Destination:
    found = Audit.objects.filter(job=job).first()
    return None if found is None else (str(found), reverse("audit", args=[found.pk]))
