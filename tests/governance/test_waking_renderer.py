"""The renderer of charts is loaded as a web process starts, not by whoever opens its first page."""

from __future__ import annotations

import subprocess
import sys

from governance.presentation.drawing import wake_renderer
from workers import charts


def test_a_web_process_loads_the_renderer_by_itself_and_still_ends() -> None:
    asked = (
        "import sys, threading, governance.wsgi\n"
        "for thread in threading.enumerate():\n"
        "    if thread.name == 'renderer':\n"
        "        thread.join()\n"
        "print('vl_convert' in sys.modules)"
    )

    ended = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)

    assert ended.stdout.split() == ["True"]


def test_what_is_drawn_to_wake_it_can_be_drawn(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr("governance.presentation.drawing.draw", lambda spec: seen.append(charts.draw(spec)))

    wake_renderer().join()

    assert "<svg" in seen[0]
