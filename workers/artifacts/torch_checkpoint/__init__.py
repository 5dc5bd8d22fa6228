"""Files of ``torch.save``: state dicts and checkpoints, in the zip format and in the streams of before."""

from __future__ import annotations

from workers.artifacts.source import Source
from workers.artifacts.torch_checkpoint.stream_format import read_state_dict_stream
from workers.artifacts.torch_checkpoint.zip_format import read_state_dict_archive
from workers.artifacts.weights.safetensors import Weights


def read_state_dict(source: Source) -> Weights:
    """Read a state dict or checkpoint of ``torch.save``, whichever of the two formats it has.

    Raises:
        RefusalError: see ``zip_format`` and ``stream_format``.
    """
    return read_state_dict_stream(source) if source.container is None else read_state_dict_archive(source)
