"""Make the signatures of this folder again, with OpenSSF's own tool: ``python make.py``, with model-signing installed.

It is not among the dependencies of the tests: it brings a client of Sigstore with it. The private keys are thrown away,
so each run gives other keys and other signatures, over the same content.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing

HERE = Path(__file__).parent
#: What is signed: no model, and its bytes are all that a signature is about.
CONTENT = b"not a model, but signed"


def make(name: str, curve: ec.EllipticCurve, *, files: int = 1) -> None:
    """Write ``name.sig`` over a file (or a folder of several) and ``name.pub``."""
    key = ec.generate_private_key(curve)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (HERE / f"{name}.pub").write_bytes(public)
    with tempfile.TemporaryDirectory() as folder:
        private = Path(folder, "private.pem")
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        model = Path(folder, "model.pt2")
        if files > 1:
            model.mkdir()
        for number in range(files):
            target = model if files == 1 else model / f"part-{number}.bin"
            target.write_bytes(CONTENT)
        config = signing.Config().use_elliptic_key_signer(private_key=private)
        config.set_hashing_config(hashing.Config())
        made = Path(folder, "model.sig")
        config.sign(model, made)
        shutil.copy(made, HERE / f"{name}.sig")


if __name__ == "__main__":
    make("p256", ec.SECP256R1())
    make("p384", ec.SECP384R1())
    make("folder", ec.SECP256R1(), files=2)
