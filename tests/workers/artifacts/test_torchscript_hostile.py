"""A script that reaches outside is rejected with file and line, and a pickle that is not torch's own with the byte.

Where torch would do the harm, the test shows that it does: a marker file appears. It never appears after an inspection.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.artifacts.crafting import Touch
from tests.workers.artifacts.scripts import ACCEPTED, changed, entries, linear, loaded, saved, scripted
from workers.artifacts.findings import Finding
from workers.artifacts.inspection import inspect


def finding_of(path: Path) -> Finding:
    """Return why a file is rejected: accepting the format accepts nothing else."""
    inspection = inspect(path, filename="model.pt", accepted=ACCEPTED)
    assert inspection.verdict == "rejected"
    return inspection.findings[0]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linear(tmp_path_factory.mktemp("plain") / "model.pt", softmax=True)


def code_of(path: Path) -> str:
    """Return the entry with the code of the classifier."""
    return next(name for name, content in entries(path).items() if b"class Classifier" in content)


def with_code(plain: Path, target: Path, lines: str) -> Path:
    """Copy the classifier with lines of code before its result, to which ``x`` is added: what has no use is not run."""

    def insert(content: bytes) -> bytes:
        head, _, tail = content.decode().partition("    return ")
        result, _, rest = tail.partition("\n")
        text = "".join(f"    {line}\n" for line in lines.splitlines())
        added = f"    scores = {result}\n    return torch.add(scores, torch.sum(x))\n"
        return f"{head}    x = features\n{text}{added}{rest}".encode()

    return changed(plain, target, {code_of(plain): insert})


def call_as_it_comes(path: Path) -> None:
    """Load and call an upload as torch would; whatever torch thinks of it afterwards does not matter."""
    import torch

    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        loaded(path)(torch.zeros(2, 2))


@pytest.mark.parametrize(
    "lines",
    [
        'x = torch.from_file("MARKER", True, 4)',
        'x = ops.aten.from_file("MARKER", True, 4)',
        'torch.save(x, "MARKER")',
        'if True:\n  x = torch.from_file("MARKER", True, 4)\nelse:\n  pass',
        'for i in range(1):\n  torch.save(x, "MARKER")',
        'x = [torch.from_file("MARKER", True, 4)][0]',
        'x = torch.add(x, torch.sum(torch.from_file("MARKER", True, 4)))',
    ],
)
def test_code_that_writes_files_is_rejected(lines: str, plain: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = with_code(plain, tmp_path / "model.pt", lines.replace("MARKER", str(marker)))
    finding = finding_of(path)
    assert (finding.id, finding.severity) == ("ART-01.operator", "critical")
    assert "file of the host" in finding.detail
    assert f"{code_of(plain)}, line " in finding.place
    assert not marker.exists()
    call_as_it_comes(path)
    assert marker.exists(), "the payload has teeth"


def test_a_real_script_that_writes_is_rejected(tmp_path: Path) -> None:
    from tests.workers.artifacts.script_models import Writing

    path = saved(scripted(Writing(str(tmp_path / "marker"))), tmp_path / "model.pt")
    assert finding_of(path).id == "ART-01.operator"
    call_as_it_comes(path)
    assert (tmp_path / "marker").exists(), "the payload has teeth"


@pytest.mark.parametrize(
    ("lines", "identifier", "words"),
    [
        ("y = ops.prim.PythonOp(x)", "ART-01.operator", "calls Python"),
        ("y = ops.custom.take_over(x)", "ART-01.operator", "no operator of ATen"),
        ("y = ops.aten.set_(x, x)", "ART-01.operator", "memory"),
        ("y = torch.as_strided(x, [100], [1])", "ART-01.operator", "memory"),
        ("y = torch.empty([4])", "ART-01.operator", "nobody wrote"),
        ("y = torch.invented(x)", "ART-01.custom_operator", "torch.invented"),
        ("y = torch.classes.foo.Bar(x)", "ART-01.operator", "torch.classes"),
        ("y = __torch__.torch.classes.foo.Bar(x)", "ART-01.custom_object", "compiled code"),
        ("y = annotate(__torch__.torch.classes.foo.Bar, x)", "ART-01.custom_object", "compiled code"),
        ("y = __torch__.missing(x)", "ART-02.code", "not in the archive"),
        ("y = print(x)", "ART-02.code", "'print'"),
        ("y = open(x)", "ART-02.code", "'open'"),
        ("f = torch.save", "ART-02.code", "'torch' is assigned nothing"),
        ("f = ops.aten", "ART-02.code", "'ops' is assigned nothing"),
        ("f = (x).save\nf(x)", "ART-02.code", "'f' is called"),
        ("y = [(x).save][0](x)", "ART-02.code", "by its name"),
        ("torch = x", "ART-02.code", "hide a word"),
        ('(x).save("f")', "ART-01.operator", "file of the host"),
        ("y = (torch.add(x, 1)).as_strided([100], [1])", "ART-01.operator", "beside a tensor"),
        ("self = x", "ART-01.custom_operator", "torch.forward"),
        ("y = (lambda z: z)(x)", "ART-02.code", "by its name"),
        ("y = [z for z in x]", "ART-02.code", "ListComp"),
        ("import os", "ART-02.code", "Import"),
        ("with x:\n  pass", "ART-02.code", "entered and left"),
        ("with self as y:\n  pass", "ART-02.code", "With"),
        ("y = f'{x}'", "ART-02.code", "JoinedStr"),
        ("y = b'x'", "ART-02.code", "number"),
        ("y = 99999999999999999999", "ART-02.code", "64 bits"),
        ("y = 1e999", "ART-02.code", "64 bits"),
        ("y = '\\u1234'", "ART-02.code", "no byte"),
        ("y = CONSTANTS.c0", "ART-02.code", "no constant"),
        ("y = (self).__class__", "ART-02.code", "__class__"),
        ('y = getattr(self, "__class__")', "ART-02.code", "getattr"),
        ("y = (self).missing(x)", "ART-02.code", "no method"),
        ("y = torch.add(*x)", "ART-02.code", "Starred"),
        ("y = torch.add(**x)", "ART-02.code", "one by one"),
        ("y = " + "(" * 150 + "x" + ")" * 150, "", ""),
        ("y = " + "[" * 190 + "x" + "]" * 190, "", ""),
        ("y = " + "(" * 5000 + "x" + ")" * 5000, "ART-02.code", "syntax"),
        ("y = " + "-" * 3000 + "1", "ART-02.code", ""),
        ("y = x" + ".a" * 5000, "ART-02.code", "nested deeper"),
    ],
)
def test_what_the_language_does_not_have_is_rejected(
    lines: str, identifier: str, words: str, plain: Path, tmp_path: Path
) -> None:
    path = with_code(plain, tmp_path / "model.pt", lines)
    if not identifier:
        assert inspect(path, filename="model.pt", accepted=ACCEPTED).verdict == "registered"
        return
    finding = finding_of(path)
    assert (finding.id, words in finding.detail) == (identifier, True), finding


def test_a_method_of_the_archive_hides_no_operator(plain: Path, tmp_path: Path) -> None:
    """A class has a method ``save``; a name that is an object of it at first and a tensor later is not."""

    def insert(content: bytes) -> bytes:
        text = content.decode()
        name = next(line for line in text.splitlines() if "def forward" in line).partition("self: ")[2].rstrip(",")
        method = f"  def save(self: {name}, path: str) -> NoneType:\n    return None\n"
        body = '    m = self\n    m = features\n    (m).save("x")\n    return '
        return (text.replace("    return ", body, 1) + method).encode()

    finding = finding_of(changed(plain, tmp_path / "model.pt", {code_of(plain): insert}))
    assert finding.id == "ART-01.operator"


SMUGGLED: dict[str, Callable[[Path], bytes]] = {
    "a class of Python's": lambda marker: pickle.dumps(Touch(marker), protocol=2),
    "a plain value": lambda marker: pickle.dumps({"a": 1}, protocol=2),
    "a newer protocol": lambda marker: pickle.dumps((), protocol=4),
    "two values": lambda marker: b"\x80\x02).).",
    "cut off": lambda marker: b"\x80\x02(",
    "bytes behind": lambda marker: b"\x80\x02).x",
    "a name that is no class": lambda marker: b"\x80\x02cos\nsystem\n.",
    "a class of the archive's, called": lambda marker: b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "a memo out of order": lambda marker: b"\x80\x02)q\x05.",
    "a number of many bytes": lambda marker: b"\x80\x02\x8a\x20" + bytes(32) + b".",
}


@pytest.mark.parametrize("entry", ["data.pkl", "constants.pkl"])
@pytest.mark.parametrize("name", list(SMUGGLED))
def test_a_smuggled_pickle_is_rejected(name: str, entry: str, plain: Path, tmp_path: Path) -> None:
    path = changed(plain, tmp_path / "model.pt", {entry: SMUGGLED[name](tmp_path / "marker")})
    finding = finding_of(path)
    assert finding.id == ("ART-01.pickle" if name != "a plain value" else finding.id)
    assert entry in finding.place
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("changes", "identifier"),
    [
        ({"bytecode.pkl": b"x"}, "ART-01.native_code"),
        ({"data/99": b"x"}, "ART-02.unknown_entry"),
        ({"data/0": None}, "ART-02.weights"),
        ({"data/0": b"xxxx"}, "ART-02.weights"),
        ({"setup.py": b"x"}, "ART-02.unknown_entry"),
        ({"code/other.py": b"x"}, "ART-02.unknown_entry"),
        ({"code/__torch__/a.py": b"x = 1"}, "ART-02.code"),
        ({"code/__torch__/a.py": "é".encode()}, "ART-02.code"),
        ({"code/__torch__/a.py": b"class A(object):\n  pass\n"}, "ART-02.code"),
        ({"code/__torch__/a.py": b"def f(*x) -> int:\n  pass\n"}, "ART-02.code"),
        ({"code/__torch__/a.py": b"@x\ndef f() -> int:\n  pass\n"}, "ART-02.code"),
        ({"code/__torch__/a.py": b"def f() -> Foo:\n  pass\n"}, "ART-02.code"),
        ({"code/__torch__/a.py": b"def f() -> int:\n  pass\ndef f() -> int:\n  pass\n"}, "ART-02.code"),
        ({"code/__torch__/a.py": b"x" * 5_000_000}, "ART-02.too_large"),
        ({"byteorder": b"big"}, "ART-02.weights"),
        ({"constants.pkl": None}, "ART-02.missing_entry"),
        ({"version": b"3", ".data/version": b"4"}, "ART-02.missing_entry"),
    ],
)
def test_an_archive_that_is_not_what_torch_writes_is_rejected(
    changes: dict[str, bytes | None], identifier: str, plain: Path, tmp_path: Path
) -> None:
    assert finding_of(changed(plain, tmp_path / "model.pt", changes)).id == identifier


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (b"  weight : Tensor\n", b"", "no attribute 'weight'"),
        (b"  weight : Tensor\n", b"  weight : NoneType\n", "NoneType in the code"),
    ],
)
def test_code_that_differs_from_the_data_is_rejected(
    before: bytes, after: bytes, words: str, plain: Path, tmp_path: Path
) -> None:
    name = next(name for name, content in entries(plain).items() if b"class Linear" in content)
    path = changed(plain, tmp_path / "model.pt", {name: lambda content: content.replace(before, after)})
    finding = finding_of(path)
    assert (finding.id, words in finding.detail) == ("ART-02.weights", True), finding


def test_comments_and_spellings_do_not_reach_torch(plain: Path, tmp_path: Path) -> None:
    """What Python passes by (a comment, a joined line) is not in what is written."""
    from workers.artifacts.rewrite import rewrite

    path = with_code(plain, tmp_path / "model.pt", "y = 1 # torch.save(x)\ny = ('a'\n'b')")
    rewrite(path, inspect(path, filename="model.pt", accepted=ACCEPTED), tmp_path / "copy.torchscript")
    code = entries(tmp_path / "copy.torchscript")[code_of(plain)]
    assert b"#" not in code
    assert b'y = "ab"' in code


@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), which=st.sampled_from(["code", "data.pkl", "constants.pkl"]))
def test_damaged_entries_are_a_verdict_and_never_an_exception(
    data: st.DataObject, which: str, plain: Path, tmp_path: Path
) -> None:
    def damage(content: bytes) -> bytes:
        damaged = bytearray(content)
        for _ in range(data.draw(st.integers(1, 4))):
            position = data.draw(st.integers(0, len(damaged) - 1))
            piece = data.draw(st.binary(max_size=3) | st.sampled_from([b"(", b"torch.", b"self", b"R", b"b", b"\x81"]))
            damaged[position : position + data.draw(st.integers(0, 4))] = piece
            damaged = damaged or bytearray(b"x")
        return bytes(damaged)

    path = changed(plain, tmp_path / "damaged.pt", {code_of(plain) if which == "code" else which: damage})
    inspection = inspect(path, filename="damaged.pt", accepted=ACCEPTED)
    assert inspection.verdict in ("registered", "rejected")
    json.dumps(inspection.to_json(), allow_nan=False)


def test_the_operators_are_those_of_the_installed_torch() -> None:
    import torch

    from workers.artifacts.torchscript import operators

    registered = {schema.name for schema in torch._C._jit_get_all_schemas()}
    assert {f"aten::{name}" for name in operators._MORE.split()} <= registered
    assert {f"prim::{name}" for name in operators.PRIM} <= registered
    assert not [name for name in operators.ATEN if operators.does_outside("aten", name)]


def test_a_compiled_class_is_not_declared_by_an_archive(plain: Path, tmp_path: Path) -> None:
    """torch looks the name up among its compiled classes, and not in the code of the archive."""
    entry = "code/__torch__/torch/classes/quantized.py"
    code = b"class LinearPackedParamsBase:\n  x : int\n"
    assert finding_of(changed(plain, tmp_path / "model.pt", {entry: code})).id == "ART-01.custom_object"


def test_code_of_many_words_is_refused_in_bounded_time(plain: Path, tmp_path: Path) -> None:
    path = changed(plain, tmp_path / "model.pt", {"code/__torch__/a.py": b"a\n" * 600_000})
    assert finding_of(path).id == "ART-02.too_large"
