"""What a datasheet asks: the questions of Gebru et al., Datasheets for Datasets (CACM 64(12), 2021), in its sections.

Keys are kept in the record and in exports; words may change, keys do not. The standard library is enough here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LONGEST_ANSWER = 20_000


@dataclass(frozen=True)
class Question:
    """One question: the key of its answer, and its words."""

    key: str
    words: str


@dataclass(frozen=True)
class Section:
    """A part of the datasheet."""

    title: str
    questions: tuple[Question, ...]


SECTIONS: tuple[Section, ...] = (
    Section(
        "Motivation",
        (
            Question("purpose", "For what purpose was the data set created?"),
            Question("creators", "Who created it, and on behalf of whom?"),
            Question("funding", "Who paid for it?"),
        ),
    ),
    Section(
        "Composition",
        (
            Question("instances", "What does a row stand for?"),
            Question("sampling", "Is it all there is, or a sample? Of what, and how was it drawn?"),
            Question("labels", "What is the target, and who or what set it?"),
            Question("missing", "What is missing from single rows, and why?"),
            Question("errors", "Which errors, noise or redundancies are known?"),
            Question("people", "Does it concern people? Which groups, and can anybody be recognised?"),
            Question("sensitive", "Does it hold anything confidential, sensitive or offensive?"),
        ),
    ),
    Section(
        "Collection",
        (
            Question("acquisition", "How was each value obtained: observed, reported, derived?"),
            Question("instruments", "By which instruments, software or people was it collected?"),
            Question("period", "Over which time was it collected, and from when are the events?"),
            Question("consent", "Were the people told, and did they agree? How can they withdraw?"),
            Question("review", "Was there an ethical review or a data protection impact assessment?"),
        ),
    ),
    Section(
        "Preprocessing, cleaning, labelling",
        (
            Question("preprocessing", "What was done to it before it came here?"),
            Question("raw_kept", "Is the raw data kept, and where?"),
        ),
    ),
    Section(
        "Uses",
        (
            Question("used_for", "What has it been used for?"),
            Question("could_be_used_for", "What else could it be used for?"),
            Question("not_to_be_used_for", "What should it not be used for?"),
        ),
    ),
    Section(
        "Distribution",
        (
            Question("license", "Under which licence or terms may it be used? Give an SPDX id or an address."),
            Question("restrictions", "Which rights of others, export rules or laws restrict it?"),
            Question("citation", "How is it to be cited?"),
        ),
    ),
    Section(
        "Maintenance",
        (
            Question("maintainer", "Who maintains it, and how are they reached?"),
            Question("updates", "How often is it updated, and who is told?"),
            Question("retention", "How long may it be kept?"),
        ),
    ),
)

KEYS = frozenset(question.key for section in SECTIONS for question in section.questions)
NOT_ANSWERED = "Not answered."


def problems_of(answers: object) -> Iterator[tuple[str, str]]:
    """Yield the place and the sentence of whatever is wrong with the answers to a datasheet."""
    if not isinstance(answers, Mapping):
        yield "answers", "Answers are an object of question keys and texts."
        return
    for key, answer in answers.items():
        if key not in KEYS:
            yield f"answers.{key}", f"A datasheet has no question {key!r}; keys are {', '.join(sorted(KEYS))}."
        elif not isinstance(answer, str):
            yield f"answers.{key}", "An answer is a text."
        elif len(answer) > LONGEST_ANSWER:
            yield f"answers.{key}", f"The answer has {len(answer):,} characters; at most {LONGEST_ANSWER:,} are kept."


def as_markdown(title: str, answers: Mapping[str, str]) -> str:
    """Return a datasheet to read or to file: every question with its answer, and what was not answered."""
    lines = [f"# Datasheet: {title}", ""]
    for section in SECTIONS:
        lines += [f"## {section.title}", ""]
        for question in section.questions:
            lines += [f"**{question.words}**", "", answers.get(question.key, "").strip() or f"*{NOT_ANSWERED}*", ""]
    return "\n".join(lines)
