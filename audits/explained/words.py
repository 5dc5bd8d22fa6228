"""What outputs, classes and scores of an explanation are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from audits.models import Explanation

_KINDS = ("logit", "log-odds", "probability")
#: What one column of explained outputs is called where it holds the predicted class of each row.
PREDICTED_CLASS = "predicted class"


@dataclass(frozen=True)
class Words:
    """The words of one explanation.

    ``kind`` is what is explained of a class: its logit, log-odds or probability; empty where outputs are values.
    """

    kind: str
    classes: tuple[str, ...]

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        """Read the words off the unit that the job wrote, and off the classes that the version states."""
        signature = explanation.version.read_signature()
        kind = str(explanation.summary.get("unit") or "").partition(" of ")[0]
        return cls(kind if kind in _KINDS else "", signature.output.classes if signature is not None else ())

    def unit(self, name: str) -> str:
        """Return the unit of the attributions of an output of this name."""
        return f"{self.kind} of {name}" if self.kind else name

    def class_name(self, number: int) -> str:
        """Return the label of a class by its number."""
        return self.classes[number] if 0 <= number < len(self.classes) else str(number)

    def output_name(self, number: int, names: Sequence[str], column: int) -> str:
        """Return what an output speaks for: a class where the column holds another one for each row."""
        return self.class_name(number) if names[column] == PREDICTED_CLASS else names[column]

    def target(self, written: str) -> str:
        """Write what the data say of a row: where they number the classes, the class by name as well."""
        if written.isascii() and written.isdigit() and int(written) < len(self.classes):
            named = self.classes[int(written)]
            return written if named == written else f"{named}, as {written}"
        return written

    def is_hit(self, predicted: int, target: str) -> bool:
        """Tell whether the data say of a row what the model says, by the label or the number of its class."""
        return target in (self.class_name(predicted), str(predicted))
