"""Lets classes of Django be written with what they are about, ``ModelAdmin[Job]``, as the type checker reads them.

At run time Django makes only its managers and query sets subscriptable; here the rest of what we subclass is, too.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from rest_framework import serializers


def make_subscriptable() -> None:
    """Make ``Class[anything]`` mean ``Class``."""

    def itself(cls: type, _: Any) -> type:
        return cls

    generics: tuple[type, ...] = (admin.ModelAdmin, admin.TabularInline, forms.ModelForm, serializers.Field)
    for generic in generics:
        if not hasattr(generic, "__class_getitem__"):
            setattr(generic, "__class_getitem__", classmethod(itself))  # noqa: B010 - no type knows this attribute
