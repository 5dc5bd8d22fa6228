"""What data came from and what came of it, read from the record."""

from __future__ import annotations

from typing import Any

from governance.models import DatasetVersion, ModelVersion, Training
from validators.models import Restoration


def datasets_behind(dataset: DatasetVersion | None) -> list[DatasetVersion]:
    """Return the data set versions from the upload to this one, read at once and walked here."""
    if dataset is None:
        return []
    known = {
        found.pk: found for found in DatasetVersion.objects.filter(dataset=dataset.dataset_id).select_related("dataset")
    }
    chain: list[DatasetVersion] = []
    step: int | None = dataset.pk
    while step is not None and step in known:
        chain.append(known.pop(step))
        step = chain[-1].cleaned_from_id or chain[-1].split_from_id
    return chain[::-1]


def graph_of(version: DatasetVersion) -> dict[str, Any]:
    """Return everything that a data set version came from and that came of it.

    Returns:
        ``nodes`` (``id``, ``kind``: ``upload``, ``dataset`` or ``model``, ``ref``, ``digest``) and ``edges`` (``from``,
        ``to``, ``verb``: ``imported``, ``cleaned``, ``restored``, ``split`` or ``trained``, ``job``: its number, None
        where there is no such job in the record).
    """
    family = _family(version)
    refs: dict[int | None, str] = {member.pk: member.ref for member in family}
    restored = set(Restoration.objects.filter(restored_to__in=refs).values_list("restored_to_id", flat=True))
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    for member in family:
        node = f"dataset:{member.ref}"
        if member.upload_id:
            upload = f"upload:{member.upload_id}"
            nodes.append({"id": upload, "kind": "upload", "ref": member.filename, "digest": member.upload_id})
            edges.append({"from": upload, "to": node, "verb": "imported", "job": member.job_id})
        nodes.append({"id": node, "kind": "dataset", "ref": member.ref, "digest": member.content_digest})
        came = "restored" if member.pk in restored else "cleaned"
        for verb, origin in ((came, member.cleaned_from), ("split", member.split_from)):
            if origin is not None:
                edges.append({"from": f"dataset:{origin.ref}", "to": node, "verb": verb, "job": member.job_id})
    models = ModelVersion.objects.filter(training_data__in=[member.pk for member in family])
    jobs = dict(Training.objects.filter(produced__in=models).values_list("produced_id", "job_id"))
    for model in models.select_related("model").order_by("pk"):
        node = f"model:{model.ref}"
        nodes.append({"id": node, "kind": "model", "ref": model.ref, "digest": model.digest})
        edges.append(
            {
                "from": f"dataset:{refs[model.training_data_id]}",
                "to": node,
                "verb": "trained",
                "job": jobs.get(model.pk),
            }
        )
    return {"nodes": _once(nodes), "edges": edges}


def _once(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({node["id"]: node for node in nodes}.values())


def _family(version: DatasetVersion) -> list[DatasetVersion]:
    """Return the versions that this one came from and those that came of it, oldest first."""
    known = list(
        DatasetVersion.objects.filter(dataset=version.dataset_id)
        .select_related("dataset", "cleaned_from__dataset", "split_from__dataset")
        .order_by("pk")
    )
    came_of_it = {version.pk}
    for found in known:  # whatever a version was made from is older than it
        if found.made_from is not None and found.made_from.pk in came_of_it:
            came_of_it.add(found.pk)
    related = came_of_it | {found.pk for found in datasets_behind(version)}
    return [found for found in known if found.pk in related]
