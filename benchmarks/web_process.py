"""What the web process costs: resident memory, and that no framework is in it.

A fresh interpreter imports the WSGI application and answers one page, one list and the schema; beside it, the floor: an
interpreter that imports Django alone, and what importing each framework would add.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FRAMEWORKS = ("tensorflow", "keras", "torch", "shap", "great_expectations", "ray")

#: Prints the resident memory in MiB and which frameworks are loaded, at the end of a program.
TELL = """
import json, sys
status = open('/proc/self/status').read()
rss = int(status.split('VmRSS:')[1].split()[0]) / 1024
print(json.dumps({'rss_mib': rss, 'loaded': [name for name in %r if name in sys.modules]}))
""" % (FRAMEWORKS,)  # noqa: UP031 - braces of the program would have to be doubled

ANSWER = """
import os
os.environ['DJANGO_SETTINGS_MODULE'] = 'governance.settings'
from governance.wsgi import application
from django.core.management import call_command
call_command('migrate', verbosity=0)
from django.test import Client
client = Client(headers={'host': 'localhost'})
for path in ('/login/', '/admin/login/', '/api/v1/schema/', '/api/v1/models/'):
    client.get(path)
"""

PROGRAMS = {
    "Python alone": "",
    "Django alone": "import django.core.handlers.wsgi, django.db.models",
    "Assay's web process": ANSWER,
    "torch alone": "import torch",
    "TensorFlow alone": "import tensorflow",
}


def main() -> int:
    results = {}
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"ASSAY_HOME": home, "TF_CPP_MIN_LOG_LEVEL": "3", "ASSAY_LOG_LEVEL": "ERROR"}
        for name, program in PROGRAMS.items():
            ended = subprocess.run(
                [sys.executable, "-c", program + TELL], env=environment, check=True, capture_output=True, text=True
            )
            results[name] = json.loads(ended.stdout.splitlines()[-1])
    print(f"{'process':<24}{'resident MiB':>14}  frameworks loaded")
    for name, result in results.items():
        print(f"{name:<24}{result['rss_mib']:>14.0f}  {', '.join(result['loaded']) or 'none'}")
    folder = Path(".bench")
    folder.mkdir(exist_ok=True)
    (folder / "web_process.json").write_text(json.dumps(results, indent=2))
    return 1 if results["Assay's web process"]["loaded"] else 0


if __name__ == "__main__":
    sys.exit(main())
