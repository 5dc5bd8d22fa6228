"""picklescan is asked after our own inspection; what it alone finds is a finding, and what befalls it is not ours."""

from __future__ import annotations

import json
import pickle
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.workers.artifacts.crafting import Touch, changed
from workers.artifacts.inspection import inspect
from workers.artifacts.second_opinion import Opinion, ask, with_second_opinion

ROOT = Path(__file__).parents[3]


def command(path: Path) -> tuple[int, dict[str, object]]:
    """Run the command and return its status and its JSON."""
    ended = subprocess.run(
        [sys.executable, "-m", "workers.artifacts", "inspect", str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    return ended.returncode, json.loads(ended.stdout)


def asked(path: Path, **limits: float) -> Opinion:
    """Ask in a process of its own: limits on this one would reach the tools of the tests as well."""
    program = f"""
import json
from dataclasses import asdict
from pathlib import Path
from workers.artifacts.second_opinion import ask
print(json.dumps(asdict(ask(Path({str(path)!r}), filename={path.name!r}, **{limits!r}))))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, timeout=120
    )
    said = json.loads(ended.stdout)
    return Opinion(tuple(said["dangerous"]), said["failure"])


def test_what_only_picklescan_calls_dangerous_is_quarantined(pt2_file: Path, tmp_path: Path) -> None:
    content = b"cos\nsystem\n(S'true'\ntR."
    path = changed(pt2_file, tmp_path / "disputed.pt2", {"extra/notes.pkl": content})
    ours = inspect(path, filename=path.name)
    assert ours.verdict == "registered"
    both = with_second_opinion(ours, path, filename=path.name)
    assert both.verdict == "quarantined"
    found = both.findings[-1]
    assert (found.id, found.severity, found.place) == ("ART-01.second_opinion", "medium", "picklescan")
    assert "os.system" in found.detail
    status, said = command(path)
    assert (status, said["verdict"]) == (2, "quarantined")


def test_a_disagreement_can_be_accepted(pt2_file: Path, tmp_path: Path) -> None:
    path = changed(pt2_file, tmp_path / "disputed.pt2", {"extra/notes.pkl": b"cos\nsystem\n(S'true'\ntR."})
    ours = inspect(path, filename=path.name, accepted=["ART-01.second_opinion"])
    assert with_second_opinion(ours, path, filename=path.name).verdict == "registered"


def test_a_file_that_both_find_harmless_has_no_more_findings(keras_file: Path, pt2_file: Path) -> None:
    for path in (keras_file, pt2_file):
        ours = inspect(path, filename=path.name)
        assert with_second_opinion(ours, path, filename=path.name) == ours


def test_nobody_is_asked_about_a_rejected_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps([1], protocol=2))
    monkeypatch.setattr("workers.artifacts.second_opinion.ask", lambda *given, **named: pytest.fail("it was asked"))
    ours = inspect(path, filename=path.name)
    assert with_second_opinion(ours, path, filename=path.name) is ours


def test_a_scanner_that_takes_too_long_is_told_and_decides_nothing(
    pt2_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opinion = asked(pt2_file, seconds=0.00001)
    assert "within 1e-05 s" in opinion.failure
    monkeypatch.setattr("workers.artifacts.second_opinion.ask", lambda *given, **named: opinion)
    ours = inspect(pt2_file, filename="model.pt2")
    both = with_second_opinion(ours, pt2_file, filename="model.pt2")
    assert both.verdict == "registered"
    assert (both.findings[-1].id, both.findings[-1].severity) == ("ART-01.no_second_opinion", "info")
    assert "within 1e-05 s" in both.findings[-1].detail


def test_a_scanner_that_runs_out_of_memory_has_no_opinion(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    path.write_bytes(b"\x80\x02" + b"N0" * 150_000 + b"cos\nsystem\n.")
    assert asked(path).dangerous == ("os.system",)
    opinion = asked(path, memory_bytes=8 * 1024**2)
    assert opinion.dangerous == ()
    assert "8,388,608 bytes of memory" in opinion.failure


def test_a_scanner_that_asks_for_too_much_at_once_has_no_opinion(tmp_path: Path) -> None:
    """A string of 2 GiB is read in one piece: the system refuses that, before anybody could look."""
    path = tmp_path / "weights.pkl"
    with path.open("wb") as stream:
        stream.write(b"\x80\x04\x8e" + (2 * 1024**3).to_bytes(8, "little"))
        stream.truncate(2 * 1024**3 + 16)
    assert "8,388,608 bytes of memory" in asked(path, memory_bytes=8 * 1024**2).failure


def test_an_upload_that_makes_the_scanner_fail_is_told(tmp_path: Path) -> None:
    path = tmp_path / "weights.7z"
    path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(50))
    assert "py7zr is required" in ask(path, filename=path.name).failure


def test_the_limits_hold_for_the_scanner_only(pt2_file: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA), signal.getsignal(signal.SIGALRM)
    assert ask(pt2_file, filename="model.pt2") == Opinion()
    assert (resource.getrlimit(resource.RLIMIT_DATA), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_scanner_that_would_never_end_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    # picklescan walks back over every MEMOIZE for each STACK_GLOBAL.
    path.write_bytes(b"\x80\x04N" + b"\x94" * 100_000 + b"\x93" * 100_000 + b".")
    assert "within 0.5 s" in asked(path, seconds=0.5).failure


def test_only_the_main_thread_may_ask(pt2_file: Path) -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="main thread"):
        pool.submit(ask, pt2_file, filename="model.pt2").result()


SCANS = """
import sys
from pathlib import Path
from workers.artifacts.second_opinion import ask
import picklescan.scanner

forbidden = {"pickle.find_class", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"}
seen = []
sys.addaudithook(lambda event, given: event in forbidden and seen.append((event, given)))
print(ask(Path(sys.argv[1]), filename=sys.argv[1]), seen)
"""


def test_the_scanner_unpickles_nothing_starts_nothing_and_connects_nowhere(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(Touch(marker), protocol=2) + b"cos\nsystem\n(S'true'\ntR.")
    ended = subprocess.run(
        [sys.executable, "-c", SCANS, str(path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "os.system" in ended.stdout
    assert ended.stdout.endswith(" []\n")
    assert not marker.exists()
