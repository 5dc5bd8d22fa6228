"""``assay-verify``: what it prints, how it ends, and that it needs nothing but Python and one library."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.workers.provenance import evidence
from workers.provenance import __main__ as command
from workers.provenance.keys import SigningKey

ROOT = Path(__file__).parents[3]
#: Runs the command in a bare interpreter that breaks when anything of ours but the compute half is imported.
GUARDED = """
import importlib.abc, socket, sys

class Guard(importlib.abc.MetaPathFinder):
    refused = {"django", "rest_framework", "governance", "validators", "audits", "tensorflow", "keras", "torch", "shap",
               "great_expectations", "numpy", "pandas", "pyarrow", "cyclonedx", "jsonschema", "requests", "urllib3"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.refused:
            raise AssertionError(f"{name} is imported")
        return None

def no_network(*arguments, **options):
    raise AssertionError("a socket is opened")

sys.meta_path.insert(0, Guard())
socket.socket.connect = no_network
sys.path.append(sys.argv.pop(1))
from workers.provenance.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "audit-3.zip"
    path.write_bytes(evidence.pack().to_bytes())
    return path


def key_file(folder: Path, key: SigningKey = evidence.KEY) -> Path:
    path = folder / f"{key.public.id[:8]}.pem"
    path.write_text(key.public.pem)
    return path


def test_a_whole_pack_ends_with_0_and_says_what_cannot_be_known(pack, capsys):
    assert command.main([str(pack)]) == 0

    said = capsys.readouterr().out
    assert "What does not hold: 0" in said
    assert "they came with the pack, so it only agrees with itself" in said


def test_a_key_from_elsewhere_settles_whose_the_pack_is(pack, capsys, tmp_path):
    assert command.main([str(pack), "--key", str(key_file(tmp_path))]) == 0

    assert "agrees with itself" not in capsys.readouterr().out


def test_another_key_ends_with_1(pack, capsys, tmp_path):
    assert command.main([str(pack), "--key", str(key_file(tmp_path, SigningKey.generate()))]) == 1

    assert "is signed by none of the keys that you gave" in capsys.readouterr().out


def test_a_change_ends_with_1_and_its_name(tmp_path, capsys):
    path = tmp_path / "changed.zip"
    path.write_bytes(evidence.pack({"report.html": b"<html>passed</html>"}).to_bytes())

    assert command.main([str(path)]) == 1
    assert "No signed statement names report.html" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["no file", "no pack", "no key"])
def test_what_cannot_be_read_ends_with_2(kind, pack, tmp_path, capsys):
    arguments = [str(pack)]
    if kind == "no file":
        arguments = [str(tmp_path / "nothing.zip")]
    elif kind == "no pack":
        pack.write_bytes(b"no pack")
    else:
        broken = tmp_path / "broken.pem"
        broken.write_text("no key")
        arguments += ["--key", str(broken)]

    assert command.main(arguments) == 2
    assert "The pack cannot be checked:" in capsys.readouterr().err


def test_what_the_pack_says_cannot_steer_the_terminal(tmp_path, capsys):
    bom = b'{"metadata": {"component": {"hashes": [{"alg": "SHA-256", "content": "%s"}]}}, ' % (
        evidence.MODEL.removeprefix("sha256:").encode()
    )
    path = tmp_path / "hostile.zip"
    path.write_bytes(
        evidence.pack({"bom.json": bom + b'"components": [{"type": "data", "name": "\\u001b[2J\\u202e"}]}'}).to_bytes()
    )

    assert command.main([str(path)]) == 1

    said = capsys.readouterr().out
    assert "\\x1b[2J" in said
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_it_runs_in_a_bare_interpreter_without_network(pack):
    ended = subprocess.run(
        [sys.executable, "-I", "-c", GUARDED, str(ROOT), str(pack)], capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 0, ended.stderr
    assert "What does not hold: 0" in ended.stdout


def test_the_guard_of_this_test_would_tell():
    ended = subprocess.run(
        [sys.executable, "-I", "-c", GUARDED.replace("workers.provenance.__main__", "governance.settings"), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "AssertionError: governance is imported" in ended.stderr


def test_it_is_installed_as_a_command():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["scripts"]["assay-verify"] == f"{command.__name__}:main"
