"""Checkpoints: signed statements of what the journal held at a moment.

A checkpoint's canonical bytes are a JSON object without blanks, its members in the order of `Checkpoint`, hashes
in lower-case hexadecimal; the signature is Ed25519 (RFC 8032) over them. Each names the hash of the one before,
so that none can be left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from msc.errors import Fault, FaultyInput, JournalError
from msc.journal.proof.chain import HASH_BYTES

NO_CHECKPOINT: Final = bytes(HASH_BYTES)
"""What the first checkpoint names as the hash of the one before."""
_PEM_END: Final = b"-----END PUBLIC KEY-----"


class Statement(StrEnum):
    """What a checkpoint states."""

    HELD = "held"
    """The journal held this."""
    SEALED = "sealed"
    """The month is over: this was its last record, and its tree is complete."""
    DELETED = "deleted"
    """An expired month was deleted; `detail` says which, what it held, why and by whom."""


class BadSigningKey(FaultyInput):
    """A key file of the journal cannot be used."""


class Checkpoint(NamedTuple):
    """A statement of what the journal held.

    Attributes:
        number: 1, 2, 3 ... without a gap.
        statement: A `Statement`.
        at: Wall time, microseconds since 1970 UTC.
        journal: The journal's identity: 16 random bytes made with it.
        seq: The last record it speaks of; 0 in an empty journal.
        msn: The highest MSN up to that record; 0 before the first message.
        link: The chain's value after that record.
        month: The month the record belongs to, 202611; 0 in an empty journal.
        first: The month's first record.
        root: Root of the tree over the month's records from `first` to `seq`.
        previous: SHA-256 of the canonical bytes of the checkpoint before.
        key: The first 8 bytes of SHA-256 of the raw public key that signs.
        detail: More, of a deletion: a JSON object; otherwise None.
    """

    number: int
    statement: str
    at: int
    journal: bytes
    seq: int
    msn: int
    link: bytes
    month: int
    first: int
    root: bytes
    previous: bytes
    key: bytes
    detail: dict[str, Any] | None = None

    def body(self) -> bytes:
        """Return the canonical bytes."""
        return orjson.dumps(
            {name: value.hex() if isinstance(value, bytes) else value for name, value in self._asdict().items()}
        )

    def digest(self) -> bytes:
        """Return the hash the next checkpoint names."""
        return sha256(self.body()).digest()


_HASHES: Final = ("journal", "link", "root", "previous", "key")


def read_checkpoint(body: bytes) -> Checkpoint:
    """Read a checkpoint's canonical bytes.

    Raises:
        JournalError: They are none.
    """
    try:
        members = orjson.loads(body)
        return Checkpoint(**{**members, **{name: bytes.fromhex(members[name]) for name in _HASHES}})
    except (ValueError, TypeError, KeyError) as exc:
        raise JournalError(f"{len(body)} bytes are no checkpoint ({type(exc).__name__})") from exc


def key_id(key: Ed25519PublicKey) -> bytes:
    """Return what checkpoints name a key by."""
    return sha256(key.public_bytes_raw()).digest()[:8]


@dataclass(frozen=True, slots=True)
class Signer:
    """The key the switch signs checkpoints with."""

    key: Ed25519PrivateKey

    @property
    def id(self) -> bytes:
        """What checkpoints name it by."""
        return key_id(self.key.public_key())

    def sign(self, body: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return self.key.sign(body)

    def signed(self, body: bytes, signature: bytes) -> bool:
        """Tell whether a signature is this key's over these bytes."""
        try:
            self.key.public_key().verify(signature, body)
        except InvalidSignature:
            return False
        return True


class Signatories:
    """The public keys whose signatures count: those in force and those that were."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id(key): key for key in keys}

    def __contains__(self, key: bytes) -> bool:
        """Tell whether a key is known, by what checkpoints name it by."""
        return key in self._keys

    def key(self, key: bytes) -> Ed25519PublicKey | None:
        """Return a key by what checkpoints name it by."""
        return self._keys.get(key)

    def signed(self, body: bytes, signature: bytes, key: bytes) -> bool:
        """Tell whether a signature is that key's over these bytes."""
        known = self._keys.get(key)
        if known is None:
            return False
        try:
            known.verify(signature, body)
        except InvalidSignature:
            return False
        return True


def make_signing_key(private: Path, public: Path) -> Signer:
    """Make a key pair: PKCS 8 and SubjectPublicKeyInfo, PEM. The public one is added to those already there.

    Raises:
        OSError: They cannot be written, or there is a private key already.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    private.touch(mode=0o600, exist_ok=False)
    private.write_bytes(pem)
    with public.open("ab") as file:
        file.write(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    return Signer(key)


def load_signer(private: Path) -> Signer:
    """Read the private key.

    Raises:
        BadSigningKey: There is none, or it is not an Ed25519 key.
    """
    try:
        key = serialization.load_pem_private_key(private.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _bad(private, f"the journal's signing key cannot be read ({type(exc).__name__})") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise _bad(private, "the journal is signed with Ed25519, this is another kind of key")
    return Signer(key)


def load_signatories(public: Path) -> Signatories:
    """Read the public keys: one or more PEM blocks, those of earlier keys kept.

    Raises:
        BadSigningKey: There is none, or one is not an Ed25519 key.
    """
    try:
        blocks = [block + _PEM_END for block in public.read_bytes().split(_PEM_END) if block.strip()]
        keys = [serialization.load_pem_public_key(block) for block in blocks]
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _bad(public, f"the journal's public key cannot be read ({type(exc).__name__})") from exc
    if not keys:
        raise _bad(public, "holds no public key")
    return Signatories(_ed25519(key, public) for key in keys)


def _ed25519(key: Any, file: Path) -> Ed25519PublicKey:
    if not isinstance(key, Ed25519PublicKey):
        raise _bad(file, "the journal is signed with Ed25519, this is another kind of key")
    return key


def _bad(file: Path, what: str) -> BadSigningKey:
    return BadSigningKey([Fault(file, "", what)])
