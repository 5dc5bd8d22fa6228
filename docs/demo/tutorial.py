"""Write the files of ``docs/tutorial.md``: a model, its data, and what a person pastes into the forms.

``python docs/demo/tutorial.py FOLDER``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import data
import models

RECIPE = {
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "learning_rate": 0.003},
    "epochs": 60,
    "batch_size": 16,
    "metrics": ["accuracy"],
    "seed": 7,
    "validation_split": 0.15,
}


def write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    models.write_torch_models(folder)
    (folder / "digits.pt2").unlink()
    data.write_breast_cancer(folder / "patients.csv")
    write_json(folder / "signature.json", data.breast_cancer_signature())
    write_json(folder / "schema.json", data.breast_cancer_schema())
    write_json(folder / "suite.json", {"expectations": data.breast_cancer_suite()["expectations"]})
    write_json(folder / "recipe.json", RECIPE)
    for path in sorted(folder.iterdir()):
        print(path)
