"""Datasheets: what people say of a data set that no file says."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db import models

from validators.datasheets import SECTIONS, Question, Section


class Datasheet(models.Model):
    """An immutable set of answers about a data set; other answers are the next number."""

    dataset = models.ForeignKey("governance.Dataset", on_delete=models.PROTECT, related_name="datasheets")
    number = models.PositiveIntegerField()
    answers = models.JSONField(help_text="question key -> text; what is not there was not answered")
    digest = models.CharField(max_length=71)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["dataset__name", "-number"]
        constraints = [models.UniqueConstraint(fields=["dataset", "number"], name="one_datasheet_a_number_a_dataset")]

    def __str__(self) -> str:
        return f"datasheet {self.number} of {self.dataset}"

    def sections(self) -> Iterator[tuple[Section, list[tuple[Question, str]]]]:
        """Yield each section with its questions and answers; an empty text where there is none."""
        for section in SECTIONS:
            yield section, [(question, self.answers.get(question.key, "")) for question in section.questions]
