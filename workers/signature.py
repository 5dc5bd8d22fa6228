"""The signature of a model: its named inputs and outputs, and whether a data set can feed them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from workers.datasets.schema import Schema

OutputKind = Literal["probabilities", "logits", "value", "embedding"]

#: Dtypes of inputs and outputs, by the name that NumPy, TensorFlow and torch share.
DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")

#: The dtype of an input of texts, which a model turns into numbers itself. No data set feeds it yet.
STRING = "string"


class SignatureError(ValueError):
    """A signature that is not well formed, or that does not fit; the message names the input or output."""


@dataclass(frozen=True)
class TensorSpec:
    """One input: name, shape (``-1`` is the batch, first), dtype, and the data set's columns that feed it in order."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    columns: tuple[str, ...] = ()

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row, without the batch."""
        return self.shape[1:]

    @property
    def width(self) -> int:
        """Values in one row."""
        return math.prod(self.row_shape)


@dataclass(frozen=True)
class OutputSpec:
    """One output: name, shape, dtype, what its numbers are, and the class labels in order (empty for a regression)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: OutputKind
    classes: tuple[str, ...] = ()

    @property
    def class_count(self) -> int:
        """How many classes the output tells apart (a single logit or probability tells two); 0 for a regression."""
        if self.kind not in ("probabilities", "logits"):
            return 0
        return max(2, self.shape[-1]) if len(self.shape) > 1 else 2


@dataclass(frozen=True)
class Signature:
    """All inputs and outputs of a model version."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[OutputSpec, ...]

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read the JSON that people write (DESIGN, "The JSON that people write").

        Raises:
            SignatureError: with the place, when the document is not a signature.
        """
        if not isinstance(document, Mapping):
            raise SignatureError("A signature is an object with `inputs` and `outputs`.")
        _known_keys(document, {"inputs", "outputs"}, "signature")
        inputs = tuple(_input(entry, index) for index, entry in enumerate(_entries(document, "inputs")))
        outputs = tuple(_output(entry, index) for index, entry in enumerate(_entries(document, "outputs")))
        for names in ([spec.name for spec in inputs], [spec.name for spec in outputs]):
            for name, count in Counter(names).items():
                if count > 1:
                    raise SignatureError(f"The name {name!r} stands twice; names of inputs and of outputs are unique.")
        return cls(inputs=inputs, outputs=outputs)

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": [
                {"name": s.name, "shape": list(s.shape), "dtype": s.dtype, "columns": list(s.columns)}
                for s in self.inputs
            ],
            "outputs": [
                {"name": s.name, "shape": list(s.shape), "dtype": s.dtype, "kind": s.kind, "classes": list(s.classes)}
                for s in self.outputs
            ],
        }

    @property
    def output(self) -> OutputSpec:
        """The output that is evaluated and explained: the first."""
        return self.outputs[0]

    def completed_by(self, stated: Signature | None) -> Signature:
        """Return what holds: names, shapes and dtypes of the artefact (self); columns, labels and kinds as stated.

        A stated input without columns is fed by the column of its stated name, as that is what the person wrote.
        """
        if stated is None:
            return self
        return Signature(
            inputs=tuple(
                replace(ours, columns=_columns(ours, theirs))
                for ours, theirs in zip(self.inputs, stated.inputs, strict=True)
            ),
            outputs=tuple(
                replace(ours, kind=theirs.kind, classes=theirs.classes or ours.classes)
                for ours, theirs in zip(self.outputs, stated.outputs, strict=True)
            ),
        )

    def misfits(self, schema: Schema) -> list[str]:
        """Return a sentence for each input that a data set of this schema cannot feed; empty when all fit."""
        return [sentence for spec in self.inputs for sentence in _misfits_of_input(spec, schema)]

    def differences(self, stated: Signature) -> list[str]:
        """Compare what the artefact says (self) with what a person stated; return a sentence for each difference.

        Columns and class labels are compared where both state them: most artefacts do not, and the person knows. The
        name of an input is not compared.
        """
        sentences: list[str] = []
        sides: tuple[tuple[str, Sequence[TensorSpec | OutputSpec], Sequence[TensorSpec | OutputSpec]], ...] = (
            ("inputs", self.inputs, stated.inputs),
            ("outputs", self.outputs, stated.outputs),
        )
        for side, ours, theirs in sides:
            if len(ours) != len(theirs):
                sentences.append(f"The artefact has {len(ours)} {side}, the stated signature has {len(theirs)}.")
                continue
            for artefact, person in zip(ours, theirs, strict=True):
                if tuple(artefact.shape) != tuple(person.shape):
                    sentences.append(
                        f"{side}: {artefact.name!r} has shape {list(artefact.shape)} in the artefact, "
                        f"{person.name!r} has {list(person.shape)} as stated."
                    )
                if artefact.dtype != person.dtype:
                    sentences.append(
                        f"{side}: {artefact.name!r} has dtype {artefact.dtype} in the artefact, "
                        f"{person.dtype} as stated."
                    )
        for artefact, person in zip(self.inputs, stated.inputs, strict=False):
            if artefact.columns and person.columns and artefact.columns != person.columns:
                sentences.append(
                    f"inputs: {artefact.name!r} is fed by {_shown(artefact.columns)} in the artefact, "
                    f"by {_shown(person.columns)} as stated."
                )
        for artefact, person in zip(self.outputs, stated.outputs, strict=False):
            if artefact.classes and person.classes and artefact.classes != person.classes:
                sentences.append(
                    f"outputs: {artefact.name!r} tells {_shown(artefact.classes)} apart in the artefact, "
                    f"{_shown(person.classes)} as stated."
                )
            # The other kinds cannot be told from the artefact; this one would be read wrongly without a word.
            if artefact.kind == "probabilities" and person.kind == "logits":
                sentences.append(
                    f"outputs: {artefact.name!r} ends in a softmax or sigmoid in the artefact, so it gives "
                    "probabilities, and logits as stated."
                )
        return sentences


def _columns(ours: TensorSpec, theirs: TensorSpec) -> tuple[str, ...]:
    if theirs.columns or ours.columns or theirs.name == ours.name:
        return theirs.columns or ours.columns
    return (theirs.name,)


def _shown(names: tuple[str, ...]) -> str:
    more = ", ..." if len(names) > 6 else ""
    return ", ".join(map(repr, names[:6])) + more


def _misfits_of_input(spec: TensorSpec, schema: Schema) -> list[str]:
    if spec.dtype == STRING:
        return [
            f"The input {spec.name!r} takes texts; such a model is registered and not run on data sets. Upload the "
            "part of it behind its vocabulary, which takes numbers."
        ]
    columns = spec.columns or ((spec.name,) if spec.name in schema.columns else ())
    if not columns:
        return [
            f"The input {spec.name!r} of shape {list(spec.shape)} names no columns, and the data set has no column of "
            f"that name; its columns are {', '.join(schema.columns)}."
        ]
    missing = [name for name in columns if name not in schema.columns]
    if missing:
        return [f"The input {spec.name!r} is fed by {', '.join(map(repr, missing))}, which the data set does not have."]
    sentences = []
    width = 0
    for name in columns:
        column = schema.columns[name]
        width += column.width
        if not column.is_numeric:
            sentences.append(
                f"The input {spec.name!r} ({spec.dtype}) is fed by {name!r}, which is of type {column.type}; "
                "a model takes numbers."
            )
    if not sentences and width != spec.width:
        shapes = ", ".join(f"{name} {list(schema.columns[name].shape)}" for name in columns[:4])
        sentences.append(
            f"The input {spec.name!r} has shape {list(spec.shape)}, {spec.width} values a row; its {len(columns)} "
            f"column{'s' * (len(columns) != 1)} ({shapes}{', ...' * (len(columns) > 4)}) give {width}."
        )
    return sentences


def _entries(document: Mapping[str, Any], key: str) -> list[Any]:
    entries = document.get(key)
    if not isinstance(entries, list) or not entries:
        raise SignatureError(f"`{key}` of a signature is a list with at least one entry.")
    return entries


def _known_keys(document: Mapping[str, Any], known: set[str], place: str) -> None:
    unknown = set(document) - known
    if unknown:
        raise SignatureError(f"{place}: unknown key {sorted(unknown)[0]!r}; known are {', '.join(sorted(known))}.")


def _common(
    entry: Any, place: str, extra: set[str], dtypes: tuple[str, ...] = DTYPES
) -> tuple[str, tuple[int, ...], str]:
    if not isinstance(entry, Mapping):
        raise SignatureError(f"{place} is an object with `name`, `shape` and `dtype`.")
    _known_keys(entry, {"name", "shape", "dtype"} | extra, place)
    name, shape, dtype = entry.get("name"), entry.get("shape"), entry.get("dtype")
    if not isinstance(name, str) or not name:
        raise SignatureError(f"{place}: `name` is a text.")
    if (
        not isinstance(shape, list)
        or not shape
        or shape[0] != -1
        or not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape[1:])
    ):
        raise SignatureError(f"{place} ({name!r}): `shape` is a list like [-1, 30]; -1, the batch, comes first.")
    if dtype not in dtypes:
        raise SignatureError(f"{place} ({name!r}): `dtype` {dtype!r} is not one of {', '.join(dtypes)}.")
    return name, tuple(shape), str(dtype)


def _texts(entry: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    texts = entry.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise SignatureError(f"{place}: `{key}` is a list of texts.")
    if len(set(texts)) != len(texts):
        raise SignatureError(f"{place}: `{key}` names something twice.")
    return tuple(texts)


def _input(entry: Any, index: int) -> TensorSpec:
    place = f"inputs[{index}]"
    name, shape, dtype = _common(entry, place, {"columns"}, (*DTYPES, STRING))
    return TensorSpec(name=name, shape=shape, dtype=dtype, columns=_texts(entry, "columns", place))


def _output(entry: Any, index: int) -> OutputSpec:
    place = f"outputs[{index}]"
    name, shape, dtype = _common(entry, place, {"kind", "classes"})
    kind = entry.get("kind")
    if kind not in get_args(OutputKind):
        raise SignatureError(f"{place} ({name!r}): `kind` is one of {', '.join(get_args(OutputKind))}.")
    spec = OutputSpec(name=name, shape=shape, dtype=dtype, kind=kind, classes=_texts(entry, "classes", place))
    if spec.classes and len(spec.classes) != spec.class_count:
        raise SignatureError(
            f"{place} ({name!r}): {len(spec.classes)} class labels for an output of shape {list(shape)}, "
            f"which tells {spec.class_count} classes apart."
        )
    return spec
