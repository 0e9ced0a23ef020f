"""The encrypted file: chunks in AES-256-GCM, each bound to its place, the last one marked as such.

    MSC-BACKUP 1 LF          13 bytes
    length                    4 bytes, big-endian
    header                    JSON: {"cipher", "chunk", "made_at", "release", "locks": [{"key", "ephemeral",
                              "wrapped"}]}
    chunk 0, 1, 2 ...         `chunk` bytes, encrypted, and a tag of 16; the last may be shorter

    nonce of a chunk          its number, 11 bytes big-endian, and 1 for the last chunk, 0 for any other
    what is bound to each     SHA-256 of everything before chunk 0

So a chunk that was changed, moved, left out or brought from another file is found, and so is an end that was cut off.
Nothing that was read is given out before it is proven to be what was written.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from msc import __version__, clock
from msc.errors import JournalError
from msc.journal.backup.key import KEY_BYTES, lock, unlock

_MAGIC: Final = b"MSC-BACKUP 1\n"
_CIPHER: Final = "AES-256-GCM"
_CHUNK: Final = 1 << 20
_CHUNK_MAX: Final = 16 << 20
"""A file that says its chunks are larger is not believed: they must fit into memory."""
_TAG: Final = 16
_HEADER_BYTES_MAX: Final = 65_536


class BadBackup(JournalError):
    """A file is not a backup, was damaged or cut off, or is for another key."""


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])


class SealedWriter:
    """Writes a backup's file. It has its name only once it is whole and on disk.

    Args:
        file: May not be there yet.
        keys: Who may open it.

    Raises:
        BadBackup: There is such a file, or it cannot be made.
    """

    def __init__(self, file: Path, keys: Sequence[X25519PublicKey]) -> None:
        self._file = file
        self._part = file.with_name(file.name + ".part")
        secret = secrets.token_bytes(KEY_BYTES)
        header = orjson.dumps(
            {
                "cipher": _CIPHER,
                "chunk": _CHUNK,
                "made_at": clock.rfc3339(clock.wall_us()),
                "release": __version__,
                "locks": lock(secret, keys),
            }
        )
        opening = _MAGIC + len(header).to_bytes(4) + header
        self._cipher, self._bound = AESGCM(secret), sha256(opening).digest()
        self._number, self._waiting = 0, bytearray()
        self.size = len(opening)
        """Bytes written to the file."""
        if file.exists():
            raise BadBackup(f"{file}: is there already")
        try:
            self._to: BinaryIO = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT, 0o600), "wb")
        except OSError as exc:
            raise BadBackup(f"{file}: cannot be written ({exc.strerror})") from exc
        try:
            # Two nights' backups that overlap must not write into each other; what a crash left behind is of no use.
            fcntl.flock(self._to, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._to.truncate(0)
            self._to.write(opening)
        except OSError as exc:
            self._to.close()
            why = "another backup is writing it" if isinstance(exc, BlockingIOError) else exc.strerror
            raise BadBackup(f"{file}: cannot be written ({why})") from exc

    def write(self, content: bytes) -> None:
        """Write on.

        Raises:
            BadBackup: The disk is full, or failed.
        """
        self._waiting += content
        # The last chunk must be known as such, so one that is just full waits for more.
        while len(self._waiting) > _CHUNK:
            self._put(bytes(self._waiting[:_CHUNK]), last=False)
            del self._waiting[:_CHUNK]

    def finish(self) -> None:
        """Write the end, make the file durable and give it its name.

        Raises:
            BadBackup: The disk is full, or failed.
        """
        self._put(bytes(self._waiting), last=True)
        self._waiting.clear()
        try:
            self._to.flush()
            os.fsync(self._to.fileno())
            self._part.rename(self._file)
            self._to.close()
            folder = os.open(self._file.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as exc:
            raise BadBackup(f"{self._file}: cannot be written ({exc.strerror})") from exc

    def _put(self, content: bytes, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, last), content, self._bound)
        self._number += 1
        self.size += len(sealed)
        try:
            self._to.write(sealed)
        except OSError as exc:
            raise BadBackup(f"{self._file}: cannot be written ({exc.strerror})") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._to.closed:
            self._part.unlink(missing_ok=True)
            self._to.close()


class SealedReader:
    """Reads a backup's file.

    Attributes:
        header: What the file says of itself.
        identity: SHA-256 of its opening, hexadecimal: no two files have the same.

    Raises:
        BadBackup: It is none, or it is for another key.
    """

    def __init__(self, file: Path, key: X25519PrivateKey) -> None:
        self._file = file
        try:
            self._from: BinaryIO = file.open("rb")
        except OSError as exc:
            raise BadBackup(f"{file}: cannot be read ({exc.strerror})") from exc
        try:
            self.header, self._bound, secret = self._open(key)
        except BaseException:
            self._from.close()
            raise
        self.identity = self._bound.hex()
        self._cipher, self._number = AESGCM(secret), 0
        self._chunk: int = self.header["chunk"]
        self._content, self._at = b"", 0
        self._next = self._take()
        self._ended = False

    def _open(self, key: X25519PrivateKey) -> tuple[dict[str, Any], bytes, bytes]:
        start = self._from.read(len(_MAGIC) + 4)
        size = int.from_bytes(start[len(_MAGIC) :])
        if not start.startswith(_MAGIC) or len(start) < len(_MAGIC) + 4 or size > _HEADER_BYTES_MAX:
            raise BadBackup(f"{self._file}: is not a backup of a journal, or one of a newer release")
        written = self._from.read(size)
        try:
            header = orjson.loads(written)
            if header["cipher"] != _CIPHER or not 1 <= header["chunk"] <= _CHUNK_MAX:
                raise ValueError
            secret = unlock(header["locks"], key)
        except (ValueError, TypeError, KeyError) as exc:
            raise BadBackup(f"{self._file}: its header was damaged") from exc
        if secret is None:
            names = ", ".join(str(each["key"]) for each in header["locks"])
            raise BadBackup(f"{self._file}: is locked for another key ({names})")
        return header, sha256(start + written).digest(), secret

    def _take(self) -> bytes:
        try:
            return self._from.read(self.header["chunk"] + _TAG)
        except OSError as exc:
            raise BadBackup(f"{self._file}: cannot be read ({exc.strerror})") from exc

    def _turn(self) -> None:
        """Open the next chunk."""
        sealed, self._next = self._next, self._take()
        last = not self._next
        try:
            self._content = self._cipher.decrypt(_nonce(self._number, last), sealed, self._bound)
        except InvalidTag as exc:
            cut = last and self._is_middle(sealed)
            what = "the end is missing" if cut or not sealed else f"chunk {self._number} was changed"
            raise BadBackup(f"{self._file}: {what}; nothing from there on can be used") from exc
        self._at, self._ended = 0, last
        self._number += 1

    def _is_middle(self, sealed: bytes) -> bool:
        try:
            self._cipher.decrypt(_nonce(self._number, False), sealed, self._bound)
        except InvalidTag:
            return False
        return True

    def read(self, size: int) -> bytes:
        """Return this many bytes.

        Raises:
            BadBackup: There are not as many, or they are not what was written.
        """
        pieces = []
        while size:
            if self._at == len(self._content):
                if self._ended:
                    raise BadBackup(f"{self._file}: ends in the middle")
                self._turn()
                continue
            piece = self._content[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def end(self) -> None:
        """Make sure that nothing follows.

        Raises:
            BadBackup: Something does, or the end is missing.
        """
        if not self._ended:
            self._turn()
        if not self._ended or self._at < len(self._content):
            raise BadBackup(f"{self._file}: goes on after its end")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._from.close()
