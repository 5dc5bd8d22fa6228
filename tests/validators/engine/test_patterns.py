"""Regular expressions mean what they mean in Python, whatever engine looks for them, and each comes to an end."""

from __future__ import annotations

import re
import signal
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.validators.engine.engine_jobs import expectation
from tests.validators.engine.random_tables import PATTERNS, TEXTS
from tests.validators.engine.test_evaluator import evaluate
from validators.engine.compiled import patterns
from validators.engine.compiled.re2 import pattern_for_re2
from validators.engine.time_limit import TimeLimitReached, time_limit

MORE_TEXTS = (
    *TEXTS,
    "aaa",
    "a\n\n",
    "\n",
    "b\r\n",
    "x\u2028y",
    "\x1c",
    "\x85",
    "\xa0",
    "ab12_",
    "𝟙",
    "a" * 1200,
    "é\n",
)
MORE_PATTERNS = (
    *(pattern for pattern in PATTERNS if "[:" not in pattern),
    r"\s\s",
    r"^\s*$", r"[\s\d]", r"[^\s]", "a.", "a|b|^$", "(?:a|b$)", "(a$)|(b\n)", "a{3}", "a{1200}", "[a\\-z]", r"[\]^-]",
    "[^\\n]+$",
    "^(?:(?:a)*?)b", r"\.", "a{0}", "x*", "(?s).", "(?x) a", r"\Aa\Z", r"a\b", r"\B", "[à-ü]+", "\\\\", "a++",
)  # fmt: skip


#: Flags, lookaround, backreferences, a repeat of more than 1,000, ``$`` before the end, and what RE2 reads otherwise.
PYTHON_ONLY = frozenset(
    {"(?i)a", "^(?!a)", r"(a)\1", "$^", "a{1200}", "(?s).", "(?x) a", r"\B", "a++", "(a$)|(b\n)", r"\S+"}
)


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@pytest.mark.parametrize("pattern", MORE_PATTERNS)
def test_re2_finds_what_python_finds(pattern: str) -> None:
    written = pattern_for_re2(pattern)
    if written is None:
        assert pattern in PYTHON_ONLY
        return
    texts = [text for text in MORE_TEXTS if text.isascii() or not written.ascii_only]
    found = pc.match_substring_regex(pa.array(texts), written.text).to_pylist()
    assert found == [re.search(pattern, text) is not None for text in texts], written.text


@pytest.mark.parametrize("pattern", ["(?=a)", r"(a)\1", "(?i)a", "a++", "(?>a)b", "a$b", "(", "a{2000}", "(" * 3000])
def test_what_re2_does_not_have_is_not_written(pattern: str) -> None:
    assert pattern_for_re2(pattern) is None


@pytest.mark.parametrize("pattern", PATTERNS[:12])
def test_rows_that_fail_are_those_that_python_does_not_match(tmp_path: Path, pattern: str) -> None:
    (outcome,) = evaluate(
        tmp_path,
        pa.table({"t": pa.array(MORE_TEXTS)}),
        expectation("column_values_to_match_regex", column="t", regex=pattern),
    )
    assert outcome.rows.tolist() == [row for row, text in enumerate(MORE_TEXTS) if re.search(pattern, text) is None]


BOMB = r"^(?=a)(a+)+$"


@pytest.mark.parametrize("kind", ["match_regex", "not_match_regex"])
def test_a_regular_expression_that_backtracks_for_ever_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 0.3)
    before = signal.getsignal(signal.SIGALRM)
    began = time.monotonic()
    bomb, other = evaluate(
        tmp_path,
        pa.table({"t": ["a" * 60 + "b"]}),
        expectation(f"column_values_to_{kind}", column="t", regex=BOMB),
        expectation("column_values_to_not_be_null", column="t"),
    )
    assert time.monotonic() - began < 60
    assert (bomb.status, other.status) == ("error", "passed")
    assert "too long" in bomb.error
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_bomb_without_lookaround_is_no_bomb_for_re2(tmp_path: Path) -> None:
    (outcome,) = evaluate(
        tmp_path,
        pa.table({"t": ["a" * 100_000 + "b", "a" * 100_000]}),
        expectation("column_values_to_match_regex", column="t", regex="^(a+)+$"),
    )
    assert outcome.rows.tolist() == [0]


def test_a_limit_of_time_stops_a_search_and_nothing_after_it() -> None:
    with pytest.raises(TimeLimitReached), time_limit(0.05) as limit:
        re.search(r"(a+)+$", "a" * 60 + "b")
    assert limit.is_reached
    with time_limit(30) as limit:
        pass
    assert not limit.is_reached
    with time_limit(None) as limit:
        pass
    assert not limit.is_reached


def test_a_limit_of_time_holds_where_what_it_raises_is_swallowed() -> None:
    def search() -> None:
        try:
            time.sleep(30)
        except TimeLimitReached:  # as a library does that tells an error and goes on
            re.search(r"(a+)+$", "a" * 60 + "b")

    with pytest.raises(TimeLimitReached), time_limit(0.05):
        search()


def test_a_limit_of_time_is_refused_outside_of_the_main_thread() -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            with time_limit(1):
                pass
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])
