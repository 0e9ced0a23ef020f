"""The keys of backups: what a backup is locked for (public), and what opens it (private, kept elsewhere).

A nightly backup needs no secret on the machine that makes it: whoever steals the machine cannot read its backups.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from msc.errors import JournalError

KEY_BYTES: Final = 32
_PURPOSE: Final = b"msc journal backup 1"
_ONCE: Final = bytes(12)
"""Nonce of a wrapped key: the key it is wrapped with is made for this one use."""
_PEM_END: Final = b"-----END PUBLIC KEY-----"


class BadBackupKey(JournalError):
    """A key of the backups cannot be used."""


def key_name(key: X25519PublicKey) -> str:
    """Return what a backup names a key by: the first 8 bytes of SHA-256 of its raw bytes, hexadecimal."""
    return sha256(key.public_bytes_raw()).digest()[:8].hex()


def make_backup_key(private: Path, public: Path, passphrase: bytes | None) -> str:
    """Make a key pair: PKCS 8 (encrypted with the passphrase, if there is one) and SubjectPublicKeyInfo, PEM.

    Returns:
        The key's name.

    Raises:
        BadBackupKey: One of the files is there already, or cannot be written.
    """
    key = X25519PrivateKey.generate()
    secrecy: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        secrecy = serialization.BestAvailableEncryption(passphrase)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secrecy)
    try:
        private.touch(mode=0o600, exist_ok=False)
        private.write_bytes(pem)
        with public.open("xb") as file:
            file.write(
                key.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            )
    except OSError as exc:
        raise BadBackupKey(f"{exc.filename}: cannot be made ({exc.strerror})") from exc
    return key_name(key.public_key())


def load_public_keys(file: Path) -> list[X25519PublicKey]:
    """Read public keys, one or more PEM blocks.

    Raises:
        BadBackupKey: There is none, or one is of another kind.
    """
    try:
        blocks = [block + _PEM_END for block in file.read_bytes().split(_PEM_END) if block.strip()]
        keys = [serialization.load_pem_public_key(block) for block in blocks]
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise BadBackupKey(f"{file}: holds no public key that can be read ({type(exc).__name__})") from exc
    if not keys:
        raise BadBackupKey(f"{file}: holds no public key")
    found = [key for key in keys if isinstance(key, X25519PublicKey)]
    if len(found) < len(keys):
        raise BadBackupKey(f"{file}: backups are locked with X25519; this is another kind of key")
    return found


def load_private_key(file: Path, passphrase: bytes | None) -> X25519PrivateKey:
    """Read the private key.

    Raises:
        BadBackupKey: There is none, the passphrase is missing or wrong, or it is of another kind.
    """
    try:
        key: Any = serialization.load_pem_private_key(file.read_bytes(), passphrase)
    except TypeError as exc:
        needed = "is encrypted: give its passphrase" if passphrase is None else "is not encrypted: give no passphrase"
        raise BadBackupKey(f"{file}: {needed}") from exc
    except (OSError, ValueError, UnsupportedAlgorithm) as exc:
        wrong = "; is the passphrase right?" if passphrase else ""
        raise BadBackupKey(f"{file}: the key cannot be read ({type(exc).__name__}){wrong}") from exc
    if not isinstance(key, X25519PrivateKey):
        raise BadBackupKey(f"{file}: backups are locked with X25519; this is another kind of key")
    return key


def lock(secret: bytes, keys: Sequence[X25519PublicKey]) -> list[dict[str, str]]:
    """Lock a file's key for each of those who may open it."""
    locks = []
    for key in keys:
        once = X25519PrivateKey.generate()
        own = once.public_key().public_bytes_raw()
        wrapping = _wrapping_key(once.exchange(key), own, key.public_bytes_raw())
        locks.append(
            {
                "key": key_name(key),
                "ephemeral": own.hex(),
                "wrapped": AESGCM(wrapping).encrypt(_ONCE, secret, None).hex(),
            }
        )
    return locks


def unlock(locks: Sequence[dict[str, str]], key: X25519PrivateKey) -> bytes | None:
    """Return the file's key; None where none of the locks is for this key.

    Raises:
        ValueError: The lock for it was damaged.
    """
    name = key_name(key.public_key())
    for each in locks:
        if each["key"] != name:
            continue
        own = bytes.fromhex(each["ephemeral"])
        shared = key.exchange(X25519PublicKey.from_public_bytes(own))
        wrapping = _wrapping_key(shared, own, key.public_key().public_bytes_raw())
        try:
            return AESGCM(wrapping).decrypt(_ONCE, bytes.fromhex(each["wrapped"]), None)
        except InvalidTag as exc:
            raise ValueError("the lock does not open") from exc
    return None


def _wrapping_key(shared: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, ephemeral + recipient, _PURPOSE).derive(shared)
