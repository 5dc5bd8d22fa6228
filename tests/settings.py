"""Settings of the tests: the product's own, over a throw-away home.

``ASSAY_TEST_DATABASE=postgresql`` starts a cluster.
"""

import os
import tempfile

os.environ.setdefault("ASSAY_HOME", tempfile.mkdtemp(prefix="assay-test-"))

if os.environ.get("ASSAY_TEST_DATABASE") == "postgresql" and "ASSAY_DATABASE_URL" not in os.environ:
    from tests import postgresql

    # pytest-xdist's workers inherit the address and share the cluster, each with a database of its own.
    os.environ["ASSAY_DATABASE_URL"] = postgresql.start()

from governance.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # noqa: F405
    # A file and not memory, so that workers in processes of their own see it. What a power cut would do is SQLite's
    # business; without waiting for the disk the tests are faster.
    DATABASES["default"]["TEST"] = {"NAME": str(ASSAY_HOME / "test.sqlite3")}  # noqa: F405
    DATABASES["default"]["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"  # noqa: F405
