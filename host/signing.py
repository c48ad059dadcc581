"""Signed models: Ed25519 over the bytes of a ``.shift`` file, by the package ``cryptography``.

The signature stands beside the model (``MODEL.shift.sig``, 64 bytes). It is checked on the PC; no
board checks one (docs/push.md).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from shiftmcu.errors import CheckFailed, ToolMissing, UsageError
from shiftmcu.files import write_bytes

__all__ = ["new_key", "sign", "signature_of", "verify"]

SUFFIX = ".sig"


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ToolMissing(
            "tool.cryptography",
            "The package cryptography, which signs and checks models, is not installed.",
            'pip install "shiftmcu[sign]"',
        ) from error
    return ed25519


def new_key(path: Path) -> Path:
    """Make a key: the secret one in ``path`` (PEM, readable by its owner only), the public one
    beside it; returns the latter's path. Raises UsageError ``sign.exists``, ``file.write``."""
    from cryptography.hazmat.primitives import serialization as s

    public = path.with_name(path.name + ".pub")
    for there in (path, public):
        if there.exists():
            raise UsageError("sign.exists", f"{there} is there already.", "name another file")
    key = _ed25519().Ed25519PrivateKey.generate()
    secret = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    before = os.umask(0o077)
    try:
        write_bytes(path, secret)
    finally:
        os.umask(before)
    write_bytes(
        public, key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    )
    return public


def sign(data: bytes, key_file: Path) -> bytes:
    """The 64 bytes of signature. Raises UsageError ``sign.key``."""
    key = _load(key_file, "load_pem_private_key", _ed25519().Ed25519PrivateKey, password=None)
    signature: bytes = key.sign(data)
    return signature


def signature_of(model: Path) -> bytes:
    """What stands beside ``model``. Raises CheckFailed ``sign.none``."""
    path = model.with_name(model.name + SUFFIX)
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckFailed(
            "sign.none",
            f"{model} has no signature beside it ({path.name}). Nothing was sent.",
            f"shiftmcu sign {model} --key KEY, by whom you trust",
        ) from error


def verify(data: bytes, signature: bytes, public_file: Path) -> None:
    """Raises CheckFailed ``sign.wrong`` when the holder of the key did not sign these bytes;
    UsageError ``sign.key``."""
    from cryptography.exceptions import InvalidSignature

    key = _load(public_file, "load_pem_public_key", _ed25519().Ed25519PublicKey)
    try:
        key.verify(signature, data)
    except InvalidSignature as error:
        raise CheckFailed(
            "sign.wrong",
            f"The signature is not one of {public_file} over this model. Nothing was sent.",
            "get the model and its .sig again, from whom you trust",
        ) from error


def _load(path: Path, loader: str, kind: type, **options: Any) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        key = getattr(serialization, loader)(path.read_bytes(), **options)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key(path, str(error)) from error
    if not isinstance(key, kind):
        raise _no_key(path, "it is a key of another kind")
    return key


def _no_key(path: Path, why: str) -> UsageError:
    return UsageError(
        "sign.key",
        f"{path} is no Ed25519 key that can be used here: {why}.",
        "shiftmcu sign --new-key FILE makes FILE (secret, to sign) and FILE.pub (to verify)",
    )
