"""Texts that are almost the same: MinHash finds candidates, the shared sequences of words confirm them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

#: Words of one sequence.
WORDS = 3
PERMUTATIONS = 64
#: Texts between two reports of progress.
_STEP = 1_000
_WORD = re.compile(r"\w+")


def near_texts(
    ours: Sequence[str],
    theirs: Sequence[str] | None,
    *,
    jaccard: float,
    seed: int,
    tell: Callable[[float], None],
) -> Iterator[tuple[int, int, float]]:
    """Yield (text, other text, share of sequences that both have) for texts that are almost another and not the same.

    Args:
        theirs: the texts among which others are looked for; the earlier ones of ours when None.
        jaccard: from which share of all sequences of the two that both have they count as almost the same.
    """
    from datasketch import MinHashLSH

    # Candidates are looked for a little below the threshold, so that the estimate misses few that hold.
    index = MinHashLSH(threshold=max(0.1, jaccard - 0.15), num_perm=PERMUTATIONS)
    known: dict[int, frozenset[str]] = {}
    total = len(ours) + len(theirs or ())
    for number, text in enumerate(theirs or ()):
        _add(index, known, number, text, seed)
        _tell(tell, number, total)
    for number, text in enumerate(ours):
        sequences = sequences_of(text)
        if not sequences:
            continue
        sketch = _sketch(sequences, seed)
        shares = {int(found): _share(sequences, known[int(found)]) for found in index.query(sketch)}
        best = max(shares, key=lambda found: (shares[found], -found), default=None)
        if best is not None and shares[best] >= jaccard and text != (ours if theirs is None else theirs)[best]:
            yield number, best, shares[best]
        if theirs is None:
            index.insert(number, sketch)
            known[number] = sequences
        _tell(tell, number + len(theirs or ()), total)


def sequences_of(text: str) -> frozenset[str]:
    """Return the sequences of three words of a text, in lower case; of a shorter one, the text."""
    words = _WORD.findall(text.lower())
    if not words:
        return frozenset()
    count = max(1, len(words) - WORDS + 1)
    return frozenset(" ".join(words[start : start + WORDS]) for start in range(count))


def _add(index: object, known: dict[int, frozenset[str]], number: int, text: str, seed: int) -> None:
    sequences = sequences_of(text)
    if sequences:
        index.insert(number, _sketch(sequences, seed))  # type: ignore[attr-defined]
        known[number] = sequences


def _sketch(sequences: frozenset[str], seed: int) -> object:
    from datasketch import MinHash

    sketch = MinHash(num_perm=PERMUTATIONS, seed=seed)
    sketch.update_batch([sequence.encode("utf-8", "surrogatepass") for sequence in sequences])
    return sketch


def _share(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right)


def _tell(tell: Callable[[float], None], number: int, total: int) -> None:
    if number % _STEP == 0:
        tell(number / total)
