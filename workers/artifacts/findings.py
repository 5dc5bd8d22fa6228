"""What an inspection says: findings with references, the refusal that carries one, and the verdict they add up to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["critical", "high", "medium", "low", "info"]
Verdict = Literal["registered", "rejected", "quarantined"]

_CODE = ("CWE-94", "OWASP ML06:2023", "ATLAS AML.T0011.000", "ATLAS AML.T0018.002")
_PICKLE = ("CWE-502", "OWASP ML06:2023", "ATLAS AML.T0011.000", "ATLAS AML.T0010.003")
_EVALUATION = ("CWE-95", "OWASP ML06:2023", "ATLAS AML.T0011.000")
_FILES = ("CWE-73", "OWASP ML06:2023", "ATLAS AML.T0011.000")
_EVASION = ("CWE-436", "OWASP ML06:2023", "ATLAS AML.T0076")
_MASQUERADE = ("CWE-434", "OWASP ML06:2023", "ATLAS AML.T0074")
_EXHAUSTION = ("CWE-409", "OWASP ML06:2023", "ATLAS AML.T0029")
_FORMAT = ("CWE-20", "OWASP ML06:2023")
_NONE: tuple[str, ...] = ()

#: Every finding by its id: severity, title, references. The prefix is the audit check that the finding is evidence for.
_CATALOGUE: dict[str, tuple[Severity, str, tuple[str, ...]]] = {
    "ART-01.pickle": ("critical", "The file carries a pickle that is not plain tensor data", _PICKLE),
    "ART-01.expression": ("critical", "A shape expression is not arithmetic on declared symbols", _EVALUATION),
    "ART-01.guard": ("critical", "A guard is not a comparison of input sizes", _EVALUATION),
    "ART-01.name": ("critical", "A name would become part of generated code", _EVALUATION),
    "ART-01.operator": ("critical", "An operator reaches outside the model", _FILES),
    "ART-01.custom_operator": ("critical", "An operator is not one of those that are taken", _CODE),
    "ART-01.native_code": ("critical", "The file carries compiled code", _CODE),
    "ART-01.custom_object": ("critical", "The file carries an object that only code can rebuild", _PICKLE),
    "ART-01.keras_class": ("high", "A class is not one of Keras' own", _CODE),
    "ART-01.keras_function": ("high", "A function is not one of Keras' own", _CODE),
    "ART-01.file_name": ("high", "A setting names a file of the machine that loads the model", _FILES),
    "ART-01.second_opinion": ("medium", "A second scanner calls the file dangerous", _PICKLE),
    "ART-01.no_second_opinion": ("info", "The second scanner gave no opinion", _NONE),
    "ART-01.lambda": ("critical", "A Lambda layer carries Python code", _CODE),
    "ART-01.changed_source": ("critical", "A source is not the one that was released", _CODE),
    "ART-02.not_a_model": ("high", "The file is not a model", _MASQUERADE),
    "ART-02.name_and_content": ("high", "The file is not what its name says", _MASQUERADE),
    "ART-02.truncated": ("high", "The file is cut off", _FORMAT),
    "ART-02.archive": ("high", "The archive is not canonical", _EVASION),
    "ART-02.prefix_data": ("high", "There is data before the archive", _EVASION),
    "ART-02.suffix_data": ("high", "There is data behind the archive", _EVASION),
    "ART-02.header_mismatch": ("high", "Two headers of one entry disagree", _EVASION),
    "ART-02.duplicate_name": ("high", "Two entries have the same name", _EVASION),
    "ART-02.entry_name": ("high", "The name of an entry is not a plain relative path", ("CWE-22", *_EVASION[1:])),
    "ART-02.link": ("high", "An entry is a link or a folder", ("CWE-59", *_EVASION[1:])),
    "ART-02.encrypted": ("high", "An entry is encrypted", _EVASION),
    "ART-02.checksum": ("high", "The content of an entry does not have its checksum", ("CWE-354", *_EVASION[1:])),
    "ART-02.too_large": ("high", "The content is larger than the limit", _EXHAUSTION),
    "ART-02.unknown_entry": ("high", "An entry does not belong into this format", _EVASION),
    "ART-02.missing_entry": ("high", "An entry that this format needs is missing", _FORMAT),
    "ART-02.protobuf": ("high", "A message is not in the one encoding that it has", _EVASION),
    "ART-02.graph": ("high", "The graph is not what the format says", _FORMAT),
    "ART-02.checkpoint": ("high", "The checkpoint is not what the format says", _EVASION),
    "ART-02.code": ("high", "The code is not in the language that TorchScript has", _EVALUATION),
    "ART-02.json": ("high", "A JSON file is not strict JSON", _FORMAT),
    "ART-02.schema": ("high", "A JSON file does not follow the format's schema", _FORMAT),
    "ART-02.weights": ("high", "The stored weights are not what the model says", _FORMAT),
    "ART-02.pickle": ("high", "A pickle is damaged or has more than one reading", _EVASION),
    "ART-02.tensors": ("high", "The tensors of the file do not go with its bytes", _FORMAT),
    "ART-02.vocabulary": ("high", "A vocabulary is not one word a line", _EVASION),
    "ART-02.hdf5": ("high", "The HDF5 file holds more than plain arrays", _FILES),
    "ART-02.hdf5_structure": ("high", "The HDF5 file has more than one reading", _EVASION),
    "ART-02.toml": ("high", "A TOML file is not strict TOML", _FORMAT),
    "ART-02.package": ("high", "The assay.toml does not say what a package is", _FORMAT),
    "ART-02.source": ("high", "A Python source has more than one reading, or none", _EVASION),
    "ART-03.format": ("high", "The format is recognised, and is not taken", _CODE),
    "ART-03.operator": ("medium", "An operator is not on the list of known ones", _CODE),
    "ART-03.keras_class": ("medium", "A Keras class is not on the list of known ones", _CODE),
    "ART-03.package": ("medium", "The model needs the Python code of its package", _CODE),
    "ART-03.package_import": ("medium", "A source imports a module that is not on the list of known ones", _CODE),
    "ART-03.torchscript": ("medium", "The format carries compiled Python code", _CODE),
    "ART-03.saved_model": ("medium", "The format carries a graph that may reach outside the model", _CODE),
    "ART-03.left_out": ("info", "Values that are no tensors are not carried over", _NONE),
    "ART-03.rearranged": ("info", "Tensors are written in another form", _NONE),
    "ART-03.extra_files": ("low", "Extra files are not carried over", _NONE),
    "SIG-01.batch": ("high", "The batch size is fixed", _NONE),
    "SIG-01.shape": ("high", "An input has a size that is not fixed", _NONE),
    "SIG-01.signature": ("high", "The stated signature differs from the model's", _NONE),
    "SIG-01.recipe": ("high", "The stated recipe differs from the model's", _NONE),
    "SIG-01.load": ("high", "The model does not load", _NONE),
    "SIG-02.recipe": ("info", "The compile settings are not taken as a recipe", _NONE),
}

#: More findings than this are not listed: the first ones decide.
MAX_FINDINGS = 50


@dataclass(frozen=True)
class Finding:
    """One observation: what, how bad, where, and the references that say why it matters."""

    id: str
    severity: Severity
    title: str
    detail: str
    place: str = ""
    references: tuple[str, ...] = ()

    def decides(self, accepted: Collection[str] = ()) -> bool:
        """Tell whether this finding keeps a file from being registered: not when somebody may and did accept it."""
        return self.severity in ("critical", "high") or (self.severity == "medium" and self.id not in accepted)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "references": list(self.references)}


#: The ids that a policy or an administrator may accept: everything else registers anyway, or never.
ACCEPTABLE = frozenset(name for name, (severity, _, _) in _CATALOGUE.items() if severity == "medium")


class RefusalError(Exception):
    """The content is not taken; the finding says why and where."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.detail)
        self.finding = finding


def finding(identifier: str, detail: str, place: str = "") -> Finding:
    """Make a finding of the catalogue; an id that it does not know is a programming error."""
    severity, title, references = _CATALOGUE[identifier]
    return Finding(identifier, severity, title, _printable(detail), _printable(place)[:400], references)


def refusal(identifier: str, detail: str, place: str = "") -> RefusalError:
    """Make the exception that ends the reading of something which is not taken."""
    return RefusalError(finding(identifier, detail, place))


def verdict_of(findings: Sequence[Finding], accepted: Collection[str] = ()) -> Verdict:
    """Critical and high reject; medium (not known to be harmful, not known to be harmless) quarantines until accepted.

    ``accepted`` names ids of findings; nobody can accept one that rejects.
    """
    deciding = {entry.severity for entry in findings if entry.decides(accepted)}
    if deciding & {"critical", "high"}:
        return "rejected"
    return "quarantined" if deciding else "registered"


def _printable(text: str) -> str:
    """Return a text that every database keeps and every page shows; names of an upload may hold control characters."""
    return text if text.isprintable() else ascii(text)[1:-1]


def shown(text: object, limit: int = 80) -> str:
    """Return a quoted, shortened text of the upload that is safe to print and to store."""
    literal = ascii(text)
    return literal if len(literal) <= limit else f"{literal[:limit]}..."
