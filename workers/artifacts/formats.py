"""The formats of model files: their names, whose they are, and what they hold.

Both halves use this table; reading a file of a format is the business of ``workers.artifacts.inspection``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One format, recognised by content and never by name.

    Attributes:
        title: what a person calls it, to stand after "The file is".
        frameworks: whose files these are; a file of a format with several names its framework itself.
        suffixes: endings of names that promise this format or one that shares the ending.
        holds_model: False for files of weights, which nothing but a model package can make a model of.
        states_signature: whether a file says what its inputs and outputs are; else a person has to.
        trains: whether a version of this format can be retrained; the others are evaluated and audited only.
        runs_code: whether loading it runs code that the uploader wrote.
    """

    name: str
    title: str
    frameworks: tuple[str, ...]
    suffixes: tuple[str, ...]
    holds_model: bool = True
    trains: bool = False
    states_signature: bool = True
    runs_code: bool = False

    @property
    def rewritten_suffix(self) -> str:
        """The ending of the canonical copy, without the dot."""
        return self.name if self.holds_model else "safetensors"

    @property
    def rewritten_name(self) -> str:
        """What a job calls the canonical copy that it writes."""
        return f"rewritten.{self.rewritten_suffix}"

    @property
    def input_name(self) -> str:
        """What a job calls the canonical copy that it is given; its ending tells the adapter what it is."""
        return f"model.{self.rewritten_suffix}"


_BOTH = ("keras", "pytorch")

FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        Format("keras", "a Keras 3 archive (.keras)", ("keras",), (".keras",), trains=True),
        Format("pt2", "a torch.export archive (.pt2)", ("pytorch",), (".pt2",), trains=True),
        Format("package", "a model package (assay.toml)", _BOTH, (".zip",), trains=True, runs_code=True),
        Format("h5", "a legacy Keras HDF5 model (.h5)", ("keras",), (".h5", ".hdf5")),
        Format("saved_model", "a TensorFlow SavedModel", ("keras",), (".zip", ".tar")),
        Format(
            "torchscript",
            "a TorchScript archive (torch.jit.save)",
            ("pytorch",),
            (".pt", ".pth", ".ts"),
            states_signature=False,
        ),
        Format("weights_h5", "a Keras weights file (.weights.h5)", ("keras",), (".h5", ".hdf5"), holds_model=False),
        Format(
            "state_dict",
            "a PyTorch state dict (torch.save)",
            ("pytorch",),
            (".pt", ".pth", ".bin", ".ckpt"),
            holds_model=False,
        ),
        Format("safetensors", "a safetensors file", (), (".safetensors",), holds_model=False),
        Format("npz", "a NumPy archive (.npz)", (), (".npz",), holds_model=False),
    )
}


def promised_by(filename: str) -> frozenset[str]:
    """Return the names of the formats that the ending of a file name promises; none where it promises nothing."""
    lowered = filename.lower()
    return frozenset(name for name, format in FORMATS.items() if lowered.endswith(format.suffixes))
