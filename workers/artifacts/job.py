"""The job ``model_inspection``: inspect an upload, write its canonical copy, load that copy, and say what it is.

A file of weights has nothing to load, and a package is never loaded here: what is said of them comes from the canonical
copy, and no framework is imported. Loading a package runs its code, which could then change everything that this
process says; a job of its own does that afterwards (``workers.artifacts.loading``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.artifacts.findings import Finding, finding, shown, verdict_of
from workers.artifacts.formats import FORMATS
from workers.artifacts.inspection import Inspection, inspect, reason_of
from workers.artifacts.limits import Limits
from workers.artifacts.loading import try_to_load
from workers.artifacts.package.archive import Package
from workers.artifacts.package.facts import facts_of_package
from workers.artifacts.recipes import merge_recipes, own_recipe
from workers.artifacts.rewrite import rewrite
from workers.artifacts.second_opinion import with_second_opinion
from workers.artifacts.source import Content
from workers.artifacts.weights.facts import facts_of_weights
from workers.context import JobContext
from workers.entry_point import EntryPoint
from workers.frameworks.base import Model
from workers.frameworks.weights import digest_of_weights, parameter_count
from workers.protocol import JobError
from workers.recipe import RecipeError
from workers.signature import Signature, SignatureError


def run(context: JobContext) -> dict[str, Any]:
    """Inspect the input ``artifact``; a file that is not taken is a result with the verdict ``rejected``.

    Parameters: ``filename``, ``stated_signature``, ``stated_recipe``; ``limits`` by name (``limits.Limits``);
    ``accepted``, the ids of quarantining findings that an administrator or a policy has accepted; and ``sources``, the
    digests of the sources that a package which a training wrote has to have.

    Raises:
        JobError: ``signature_invalid`` or ``recipe_invalid``, when what was stated beside the file is not well formed.
    """
    filename = str(context.parameters["filename"])
    stated_signature = _stated_signature(context.parameters.get("stated_signature"))
    stated_recipe = context.parameters.get("stated_recipe")
    source = context.input("artifact")
    context.progress(0, 3, "steps", "Inspecting the file")
    limits = Limits.from_json(context.parameters.get("limits", {}))
    accepted = frozenset(context.parameters.get("accepted", ()))
    inspection = inspect(source, filename=filename, limits=limits, accepted=accepted)
    inspection = with_second_opinion(inspection, source, filename=filename)
    # The parts of a recipe are read before anything is loaded, so that a mistake in the stated one is told at once.
    own, reasons = own_recipe(inspection.content)
    try:
        recipe, differences = merge_recipes(own, stated_recipe)
    except RecipeError as error:
        raise JobError("recipe_invalid", f"The stated recipe is not valid: {error}", place="recipe") from error
    findings = [*inspection.findings, *differences, *reasons, *_idle_statements(inspection, context.parameters)]
    states_signature = inspection.content is None or FORMATS[inspection.format].states_signature
    findings.extend(() if states_signature else _missing_signature(stated_signature))
    findings.extend(_missing_loss(inspection.content, recipe))
    findings.extend(_changed_sources(inspection.content, context.parameters.get("sources")))
    own_signature = inspection.content.manifest.signature if isinstance(inspection.content, Package) else None
    findings.extend(() if own_signature is None else _differences(own_signature, stated_signature))
    result = _result(inspection, findings)
    result["recipe"] = recipe
    _write_sources(context, inspection.content)
    if result["verdict"] != "registered":
        return result

    name = FORMATS[inspection.format].rewritten_name
    target = context.output(name)
    context.progress(1, 3, "steps", "Writing the canonical copy")
    rewrite(source, inspection, target, limits)
    if not FORMATS[inspection.format].holds_model:
        context.progress(3, 3, "steps", "Inspected")
        return {**result, **facts_of_weights(target, limits), "rewritten": name}
    if FORMATS[inspection.format].runs_code:
        signature = stated_signature if own_signature is None else own_signature.completed_by(stated_signature)
        result["signature"] = None if signature is None else signature.to_json()
        context.progress(3, 3, "steps", "Inspected")
        return {**result, **facts_of_package(target, limits), "rewritten": name}
    context.progress(2, 3, "steps", "Loading the canonical copy")
    model, complaints = try_to_load(
        target,
        framework=inspection.framework,
        signature=None if states_signature else stated_signature,
        device=context.device,
        seed=context.spec.seed,
    )
    findings.extend(complaints if model is None else _differences(model.signature, stated_signature))
    if model is None or verdict_of(findings, accepted) != "registered":
        target.unlink()
        return {**_result(inspection, findings), "recipe": recipe}
    context.progress(3, 3, "steps", "Inspected")
    return {**result, **_facts(model, stated_signature), "rewritten": name}


def _stated_signature(document: Any) -> Signature | None:
    if document is None:
        return None
    try:
        return Signature.from_json(document)
    except SignatureError as error:
        detail = f"The stated signature is not valid: {error}"
        raise JobError("signature_invalid", detail, place="signature") from error


def _missing_signature(stated: Signature | None) -> list[Finding]:
    """Tell that nobody states the signature of a model whose format does not."""
    if stated is not None:
        return []
    detail = "The format does not say what a model's inputs and outputs are; state the signature with the upload."
    return [finding("SIG-01.signature", detail, "signature")]


def _missing_loss(content: Content | None, recipe: Mapping[str, Any] | None) -> list[Finding]:
    """Tell of a recipe whose loss is to come from the package, and does not."""
    name = None if recipe is None else EntryPoint.read(recipe["loss"])
    if content is None or name is None or (isinstance(content, Package) and content.defines(name)):
        return []
    detail = f"The recipe's loss {name} is a package's own, and the file is no package that defines it."
    return [finding("SIG-01.recipe", detail, "recipe: loss")]


def _write_sources(context: JobContext, content: Content | None) -> None:
    """Leave the sources of a package for a reviewer to read, each a file of its own."""
    for number, source in enumerate(content.sources.values() if isinstance(content, Package) else (), 1):
        context.output(f"source_{number}.txt").write_bytes(source.content)


def _changed_sources(content: Content | None, expected: Mapping[str, str] | None) -> list[Finding]:
    """Compare the sources of a package that a training wrote with those that were released."""
    if expected is None or not isinstance(content, Package) or content.source_digests == expected:
        return []
    changed = sorted(set(content.source_digests.items()) ^ set(expected.items()))
    detail = f"A training leaves the sources as they are; {shown(changed[0][0])} is not the one that was released."
    return [finding("ART-01.changed_source", detail, changed[0][0])]


def _idle_statements(inspection: Inspection, parameters: Mapping[str, Any]) -> list[Finding]:
    """Refuse what was stated of a model beside a file that holds none: nobody would ever look at it."""
    if not inspection.format or FORMATS[inspection.format].holds_model:
        return []
    return [
        finding(
            f"SIG-01.{what}",
            f"A {what} is stated, and the file holds weights and no model; state none, or upload a model package.",
            what,
        )
        for what in ("signature", "recipe")
        if parameters.get(f"stated_{what}") is not None
    ]


def _differences(artefact: Signature, stated: Signature | None) -> list[Finding]:
    if stated is None:
        return []
    return [finding("SIG-01.signature", sentence, "signature") for sentence in artefact.differences(stated)]


def _result(inspection: Inspection, findings: list[Finding]) -> dict[str, Any]:
    return {
        "verdict": verdict_of(findings, inspection.accepted),
        "reason": reason_of(findings, inspection.accepted),
        "framework": inspection.framework,
        "format": inspection.format,
        "findings": [entry.to_json() for entry in findings],
        "sources": inspection.content.source_digests if isinstance(inspection.content, Package) else {},
        "signature": None,
        "recipe": None,
        "layers": [],
        "parameter_count": None,
        "weights_digest": "",
        "rewritten": None,
    }


def _facts(model: Model, stated: Signature | None) -> dict[str, Any]:
    weights = model.weights()
    return {
        "signature": model.signature.completed_by(stated).to_json(),
        "layers": model.layers(),
        "parameter_count": parameter_count(weights),
        "weights_digest": digest_of_weights(weights),
    }
