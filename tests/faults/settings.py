"""Settings of workers that tests start: the tests' own, with the tiny kind."""

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.apps.TinyConfig"]  # noqa: F405
ASSAY_RUNNER_PACKAGES = ["tests.faults"]
