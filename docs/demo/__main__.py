"""The main job, headless: two real data sets, two frameworks, from upload to report.

``make demo`` runs it. A second run takes up where the first left off, because every request that starts work carries an
``Idempotency-Key``; ``make demo FRESH=1`` starts clean.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import data
from client import Client, RefusedError
from installation import ROOT, manage, running, tokens

RECIPE = {
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "learning_rate": 0.003},
    "epochs": 25,
    "batch_size": 32,
    "metrics": ["accuracy"],
    "seed": 7,
    "validation_split": 0.15,
    "early_stopping": {"patience": 6},
}


@dataclass(frozen=True)
class Subject:
    """One data set of the demo and what its models are asked."""

    name: str
    file: str
    schema: dict[str, Any]
    suite: dict[str, Any]
    signature: dict[str, Any]
    intended_use: str
    limitations: str


SUBJECTS = (
    Subject(
        name="breast-cancer",
        file="breast-cancer.csv",
        schema=data.breast_cancer_schema(),
        suite=data.breast_cancer_suite(),
        signature=data.breast_cancer_signature(),
        intended_use="Sort fine-needle biopsies for a second look by a pathologist, who decides.",
        limitations="One hospital, 1995. Not for screening; not for other kinds of biopsy.",
    ),
    Subject(
        name="digits",
        file="digits.npz",
        schema=data.digits_schema(),
        suite=data.digits_suite(),
        signature={
            "inputs": [{"name": "image", "shape": [-1, 8, 8], "dtype": "float32", "columns": ["image"]}],
            "outputs": [
                {
                    "name": "answer",
                    "shape": [-1, 10],
                    "dtype": "float32",
                    "kind": "logits",
                    "classes": [str(digit) for digit in range(10)],
                },
            ],
        },
        intended_use="Read single hand-written digits on scanned forms.",
        limitations="Grey scans of 8 x 8 pixels. Not for letters, not for several digits at once.",
    ),
)


@dataclass
class Row:
    """A line of the table at the end."""

    model: str
    versions: str = ""
    digest: str = ""
    before: str = ""
    after: str = ""
    verdict: str = ""
    decision: str = ""
    report: str = ""
    seconds: float = 0.0


@dataclass
class Screen:
    """What the demo says while it works: a line a step, and under it, on a terminal, the jobs that run."""

    started: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)
    live: dict[str, str] = field(default_factory=dict)

    def say(self, who: str, text: str) -> None:
        with self.lock:
            self._clear()
            print(f"{time.monotonic() - self.started:6.1f} s  {who:<24} {text}", flush=True)
            self._show()

    def watch(self, who: str, job: dict[str, Any]) -> None:
        progress = job.get("progress") or {}
        share = f" {progress['done']:g}/{progress['total']:g} {progress['unit']}" if progress.get("total") else ""
        with self.lock:
            if job["state"] in ("queued", "running"):
                self.live[who] = f"{who}: {job['kind']} {job['state']}{share}"
            else:
                self.live.pop(who, None)
            self._clear()
            self._show()

    def _clear(self) -> None:
        if sys.stdout.isatty():
            print("\r\033[K", end="")

    def _show(self) -> None:
        if sys.stdout.isatty() and self.live:
            width = shutil.get_terminal_size().columns - 1
            print("          " + " | ".join(self.live.values())[: width - 10], end="", flush=True)


class Demo:
    """The way of each data set and each model, as Alice (owner), Dave (auditor) and Bob (approver) go it."""

    def __init__(self, home: Path, address: str, keys: dict[str, str], screen: Screen) -> None:
        self.folder = home / "demo"
        self.screen = screen
        self.keys = keys
        self.address = address

    def client(self, person: str) -> Client:
        return Client(self.address, self.keys[person])

    def prepare_data(self, subject: Subject) -> str:
        """Upload, validate, see it fail, clean, validate again; return the reference of the clean version."""
        alice, say = self.client("alice"), lambda text: self.screen.say(subject.name, text)

        def watch(job: dict[str, Any]) -> None:
            self.screen.watch(subject.name, job)

        if alice.get_or_none(f"datasets/{subject.name}/") is None:
            alice.post("datasets/", {"name": subject.name, "description": f"The demo's {subject.name} data."})
        raw = alice.upload(
            f"datasets/{subject.name}/versions/",
            self.folder / subject.file,
            {"schema": json.dumps(subject.schema)},
            key=f"demo-{subject.name}-data",
        )
        raw = alice.finish(raw, f"datasets/{raw['ref'].replace('/', '/versions/')}/", watch=watch)
        say(f"uploaded {raw['ref']}: {raw['row_count']:,} rows, {raw['digest'][:17]}")
        suite = alice.get_or_none(f"suites/{subject.name}-suite/1/") or alice.post(
            "suites/", {"name": f"{subject.name}-suite", "expectations": subject.suite["expectations"]}
        )
        validation = self._validate(alice, subject, raw["ref"], suite["ref"], watch)
        statistics = validation["statistics"]
        say(
            f"{raw['ref']} {'passes' if validation['success'] else 'fails'} {suite['ref']}: "
            f"{statistics['failed']} of {statistics['evaluated']} expectations not met"
        )
        self._see_training_refused(alice, subject, raw["ref"])
        cleaning = alice.post(
            "cleanings/", {"dataset": raw["ref"], "suite": suite["ref"]}, key=f"demo-{subject.name}-cleaning"
        )
        cleaning = alice.finish(cleaning, f"cleanings/{cleaning['id']}/", watch=watch)
        report = cleaning["report"]
        say(
            f"cleaned to {cleaning['cleaned_to']}: {report['rows_in']:,} rows in, {report['rows_out']:,} out, "
            f"{report['rows_quarantined']} put aside with their reasons, "
            f"{report['cells_changed']} cells changed"
        )
        validation = self._validate(alice, subject, cleaning["cleaned_to"], suite["ref"], watch)
        say(f"{cleaning['cleaned_to']} {'passes' if validation['success'] else 'fails'} {suite['ref']}")
        return str(cleaning["cleaned_to"])

    def _validate(self, client: Client, subject: Subject, dataset: str, suite: str, watch: Any) -> Any:
        started = client.post(
            "validations/",
            {"dataset": dataset, "suite": suite},
            key=f"demo-{subject.name}-validation-{dataset}",
        )
        return client.finish(started, f"validations/{started['id']}/", watch=watch)

    def _see_training_refused(self, client: Client, subject: Subject, dataset: str) -> None:
        model = f"{subject.name}-pytorch"
        try:
            client.post(
                "trainings/", {"model": f"{model}/1", "dataset": dataset, "recipe": RECIPE}, key=f"demo-{model}-refused"
            )
        except RefusedError as refusal:
            if refusal.status != 409:
                raise
            self.screen.say(subject.name, f"training on {dataset} is refused: {' '.join(refusal.reasons)}")
        else:
            raise SystemExit(f"Training on {dataset} was not refused although its validation failed.")

    def register(self, subject: Subject, framework: str) -> str:
        """Register the model and upload its first version; return its reference."""
        name = f"{subject.name}-{framework}"
        alice = self.client("alice")
        if alice.get_or_none(f"models/{name}/") is None:
            alice.post(
                "models/",
                {
                    "name": name,
                    "task": "classification",
                    "tier": "medium",
                    "intended_use": subject.intended_use,
                    "limitations": subject.limitations,
                },
            )
        suffix = {"keras": "keras", "pytorch": "pt2"}[framework]
        version = alice.upload(
            f"models/{name}/versions/",
            self.folder / f"{subject.name}.{suffix}",
            {"signature": json.dumps(subject.signature)},
            key=f"demo-{name}-upload",
        )
        version = alice.finish(
            version, f"models/{name}/versions/{version['number']}/", watch=lambda job: self.screen.watch(name, job)
        )
        inspection = version["inspection"]
        self.screen.say(name, f"{version['ref']} is {version['state']}: {len(inspection['findings'])} findings")
        if version["state"] != "registered":
            raise SystemExit(f"{version['ref']} was not registered: {json.dumps(inspection, indent=2)}")
        return str(version["ref"])

    def go(self, subject: Subject, framework: str, first: str, dataset: str) -> Row:
        """Retrain, evaluate old against new, explain, audit, write the report, ask for the alias."""
        name = f"{subject.name}-{framework}"
        began = time.monotonic()
        alice, dave = self.client("alice"), self.client("dave")

        def watch(job: dict[str, Any]) -> None:
            self.screen.watch(name, job)

        started = alice.post(
            "trainings/", {"model": first, "dataset": dataset, "recipe": RECIPE}, key=f"demo-{name}-training"
        )
        training = alice.finish(started, f"trainings/{started['id']}/", watch=watch)
        new = str(training["produced"])
        self.screen.say(name, f"retrained {first} to {new}: {len(training['history'])} epochs")
        started = dave.post(
            "evaluations/", {"model": new, "dataset": dataset, "compare_with": first}, key=f"demo-{name}-evaluation"
        )
        evaluation = dave.finish(started, f"evaluations/{started['id']}/", watch=watch)
        after = next(m for m in evaluation["metrics"] if m["name"] == "accuracy" and not m["slice"])
        gain = next(m for m in evaluation["comparison"]["metrics"] if m["name"] == "accuracy" and not m["slice"])
        self.screen.say(
            name,
            f"accuracy {interval(after)}, n = {after['n']}; against {first}: {interval(gain, 'difference')}, paired",
        )
        started = dave.post(
            "explanations/",
            {"model": new, "dataset": dataset, "rows": 24, "background_rows": 40},
            key=f"demo-{name}-explanation",
        )
        explanation = dave.finish(started, f"explanations/{started['id']}/", watch=watch)
        self.screen.say(
            name, f"explanation {explanation['id']} is {'admitted' if explanation['admitted'] else 'not admitted'}"
        )
        started = dave.post(
            "audits/", {"model": new, "dataset": dataset, "policy": "standard/1"}, key=f"demo-{name}-audit"
        )
        audit = dave.finish(started, f"audits/{started['id']}/", watch=watch)
        report = self.folder / "reports" / f"{new.replace('/', '-')}.html"
        report.parent.mkdir(exist_ok=True)
        for form in ("html", "json"):
            report.with_suffix(f".{form}").write_bytes(dave.download(f"audits/{audit['id']}/report/?format={form}"))
        failed = [check["id"] for check in audit["checks"] if check["status"] not in ("passed", "not_applicable")]
        self.screen.say(
            name, f"audit {audit['id']}: {audit['verdict']}{'; see ' + ', '.join(failed) if failed else ''}"
        )
        version = alice.get(f"models/{new.replace('/', '/versions/')}/")
        return Row(
            model=name,
            versions=f"{first.split('/')[1]} -> {new.split('/')[1]}",
            digest=version["digest"].removeprefix("sha256:")[:12],
            after=f"{interval(after)}",
            before=f"{interval(gain, 'difference')}",
            verdict=audit["verdict"],
            decision=self._decide(name, new, audit["id"]),
            report=os.path.relpath(report),
            seconds=time.monotonic() - began,
        )

    def _decide(self, name: str, version: str, audit: int) -> str:
        """Ask that the version become champion; Bob approves when the gate lets him."""
        alice, bob = self.client("alice"), self.client("bob")
        aliases = alice.get(f"models/{name}/")["aliases"]
        if any(alias["name"] == "champion" and alias["version"] == version for alias in aliases):
            return "approved"
        try:
            review = alice.post("reviews/", {"model": version, "alias": "champion", "evidence": [f"audit:{audit}"]})
            review = bob.post(
                f"reviews/{review['id']}/decide/",
                {"decision": "approve", "comment": "The audit passed; intended use and limits are clear."},
            )
        except RefusedError as refusal:
            if refusal.status != 409:
                raise
            self.screen.say(name, f"approval is refused: {' '.join(refusal.reasons) or refusal.problem['detail']}")
            return "refused"
        self.screen.say(name, f"review {review['id']} is {review['state']}: {name}@champion is {version}")
        return str(review["state"])


def interval(metric: dict[str, Any], key: str = "value") -> str:
    """Write a number with its interval as the pages do."""
    return f"{metric[key]:.3f} ({metric['low']:.3f} to {metric['high']:.3f})".replace("-", "\N{MINUS SIGN}")


def table(rows: list[Row]) -> str:
    """Lay the rows out under their headings."""
    head = ["model", "versions", "digest", "accuracy, 95 %", "gain, paired", "audit", "champion", "seconds", "report"]
    cells = [
        [r.model, r.versions, r.digest, r.after, r.before, r.verdict, r.decision, f"{r.seconds:.0f}", r.report]
        for r in rows
    ]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(head))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *cells]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def make_models(folder: Path) -> None:
    """Train the first versions in a process of its own: this one needs no framework."""
    if all(
        (folder / f"{name}.{suffix}").exists() for name in ("breast-cancer", "digits") for suffix in ("keras", "pt2")
    ):
        return
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "models.py"), str(folder)],
        env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    if ended.returncode:
        raise SystemExit(f"The demo's models could not be made:\n{ended.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the main job end to end.")
    parser.add_argument("--fresh", action="store_true", help="forget an earlier demo: start with an empty home")
    arguments = parser.parse_args()
    home = Path(os.environ.get("ASSAY_HOME", ROOT / ".assay")).resolve()
    os.environ["ASSAY_HOME"] = str(home)
    folder = home / "demo"
    if arguments.fresh and home.exists():
        if not (folder / "tokens.json").exists() and any(home.iterdir()):
            raise SystemExit(f"{home} was not made by the demo; remove it yourself if it may go.")
        shutil.rmtree(home)
    folder.mkdir(parents=True, exist_ok=True)
    screen = Screen()
    screen.say("assay", f"home {os.path.relpath(home)}; preparing the database, two data sets and four models")
    with ThreadPoolExecutor(1) as beside:
        models = beside.submit(make_models, folder)
        manage("migrate", "--verbosity", "0")
        keys = tokens(home)
        data.write_breast_cancer(folder / "breast-cancer.csv")
        data.write_digits(folder / "digits.npz")
        models.result()
    with running(home) as address, ThreadPoolExecutor(4) as pool:
        demo = Demo(home, address, keys, screen)
        screen.say("assay", "the web server and one worker with two slots are up")
        pairs = [(subject, framework) for subject in SUBJECTS for framework in ("keras", "pytorch")]
        first = list(pool.map(lambda pair: demo.register(*pair), pairs))
        clean = dict(zip((s.name for s in SUBJECTS), pool.map(demo.prepare_data, SUBJECTS), strict=True))
        rows = list(
            pool.map(lambda item: demo.go(*item[0], item[1], clean[item[0][0].name]), zip(pairs, first, strict=True))
        )
    total = time.monotonic() - screen.started
    print(
        f"\n{table(rows)}\n\n{total:.0f} seconds in all. Open a report in a browser: it needs no server and no network."
    )
    print(
        "`make run` serves the same home on http://127.0.0.1:8000; its first start prints the administrator's password."
    )


if __name__ == "__main__":
    main()
