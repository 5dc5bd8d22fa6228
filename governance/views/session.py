"""Sign in and out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView


class SignInForm(AuthenticationForm):
    """Name and password, told apart to password managers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "Name"
        for field in self.fields.values():
            field.widget.attrs.pop("autofocus", None)
        self.fields["password"].widget = forms.PasswordInput(attrs={"autocomplete": "current-password"})


login = LoginView.as_view(
    template_name="governance/login.html", authentication_form=SignInForm, redirect_authenticated_user=True
)
logout = LogoutView.as_view()
