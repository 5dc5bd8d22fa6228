"""Settings of the tests: the product's own, over a throw-away home."""

import os
import tempfile

os.environ.setdefault("ASSAY_HOME", tempfile.mkdtemp(prefix="assay-test-"))

from governance.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
