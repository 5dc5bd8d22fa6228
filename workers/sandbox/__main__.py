"""``python -m workers.sandbox FOLDER SURROUNDINGS``: enter the sandbox and say, as JSON, what it is made of."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from workers.protocol import Limits
from workers.sandbox import Surroundings, enter


def main() -> None:
    layers = enter(
        folder=Path(sys.argv[1]),
        limits=Limits(),
        packages=(),
        uses_gpu=False,
        parent_pid=os.getppid(),
        surroundings=Surroundings.from_json(json.loads(sys.argv[2])),
    )
    print(json.dumps(layers.to_json()))


if __name__ == "__main__":
    main()
