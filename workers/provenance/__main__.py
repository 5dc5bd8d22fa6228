"""``assay-verify PACK [--key FILE]``: check an evidence pack without an installation, a framework or a network.

Exit status: 0 everything that can be checked holds, 1 something does not, 2 the pack or a key could not be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from workers.provenance.keys import MAX_KEY_BYTES, KeyFormatError, PublicKey
from workers.provenance.pack import Pack, PackError
from workers.provenance.verification import Finding, Outcome, verify

_HEADINGS = {
    Finding.HOLDS: "What holds",
    Finding.FAILS: "What does not hold",
    Finding.UNKNOWN: "What cannot be known from the pack",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="assay-verify",
        description="Check an evidence pack: manifest, digests, signatures, and what they are about.",
    )
    parser.add_argument("pack", type=Path, help="the zip that the installation gave")
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a public key (PEM) that you have from the installation by another way; may be given more than once",
    )
    options = parser.parse_args(arguments)
    try:
        keys = [_read_key(path) for path in options.key]
        with options.pack.open("rb") as stream:
            pack = Pack.read(stream)
    except (OSError, PackError, KeyFormatError) as error:
        print(f"The pack cannot be checked: {error}", file=sys.stderr)
        return 2
    outcomes = verify(pack, keys)
    print(_shown(outcomes))
    return 1 if any(outcome.finding is Finding.FAILS for outcome in outcomes) else 0


def _read_key(path: Path) -> PublicKey:
    with path.open("rb") as stream:
        content = stream.read(MAX_KEY_BYTES + 1)
    try:
        return PublicKey.read(content)
    except KeyFormatError as error:
        raise KeyFormatError(f"{path}: {error}") from error


def _shown(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as lines; what came from the pack is written so that no terminal acts on it."""
    lines = []
    for finding, heading in _HEADINGS.items():
        found = [outcome for outcome in outcomes if outcome.finding is finding]
        lines.append(f"{heading}: {len(found)}")
        lines += [f"  {outcome.check:<13} {_printable(outcome.sentence)}" for outcome in found]
    return "\n".join(lines)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


if __name__ == "__main__":
    sys.exit(main())
