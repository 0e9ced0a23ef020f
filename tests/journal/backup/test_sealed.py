"""The encrypted file of backups: whatever was done to it is found, and only its key opens it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from msc.journal.backup import sealed
from msc.journal.backup.key import (
    BadBackupKey,
    key_name,
    load_private_key,
    load_public_keys,
    make_backup_key,
)
from msc.journal.backup.sealed import BadBackup, SealedReader, SealedWriter

KEY = X25519PrivateKey.generate()
OTHER = X25519PrivateKey.generate()
CHUNK = 64


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "_CHUNK", CHUNK)


def written(file: Path, content: bytes, *keys: X25519PrivateKey) -> bytes:
    with SealedWriter(file, [key.public_key() for key in keys or (KEY,)]) as to:
        to.write(content)
        to.finish()
    assert to.size == file.stat().st_size
    return file.read_bytes()


def contents(file: Path, size: int, key: X25519PrivateKey = KEY) -> bytes:
    with SealedReader(file, key) as source:
        content = source.read(size)
        source.end()
        return content


def header_bytes(raw: bytes) -> int:
    return 13 + 4 + int.from_bytes(raw[13:17])


@pytest.mark.requirement("F-BACKUP")
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 7])
def test_what_was_written_is_read(tmp_path: Path, size: int) -> None:
    content = bytes(at % 251 for at in range(size))
    raw = written(tmp_path / "b", content)
    assert contents(tmp_path / "b", size) == content
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    if size >= 8:
        assert content[:8] not in raw


@pytest.mark.requirement("F-BACKUP")
def test_each_of_its_keys_opens_it_and_no_other(tmp_path: Path) -> None:
    written(tmp_path / "b", b"records", KEY, OTHER)
    assert contents(tmp_path / "b", 7, KEY) == contents(tmp_path / "b", 7, OTHER) == b"records"
    with pytest.raises(BadBackup, match=f"another key .*{key_name(KEY.public_key())}"):
        contents(tmp_path / "b", 7, X25519PrivateKey.generate())


@pytest.mark.requirement("F-BACKUP")
def test_a_flipped_bit_is_found_wherever_it_is(tmp_path: Path) -> None:
    raw = written(tmp_path / "b", bytes(3 * CHUNK))
    for at in range(len(raw)):
        (tmp_path / "c").write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(BadBackup):
            contents(tmp_path / "c", 3 * CHUNK)


@pytest.mark.requirement("F-BACKUP")
def test_an_end_that_is_missing_is_found_wherever_it_was_cut(tmp_path: Path) -> None:
    raw = written(tmp_path / "b", bytes(3 * CHUNK))
    for size in range(len(raw)):
        (tmp_path / "c").write_bytes(raw[:size])
        with pytest.raises(BadBackup):
            contents(tmp_path / "c", 3 * CHUNK)
    (tmp_path / "c").write_bytes(raw[: header_bytes(raw) + 2 * (CHUNK + 16)])
    with pytest.raises(BadBackup, match="the end is missing"):
        contents(tmp_path / "c", 3 * CHUNK)


@pytest.mark.requirement("F-BACKUP")
def test_chunks_that_were_swapped_left_out_doubled_or_added_are_found(tmp_path: Path) -> None:
    raw = written(tmp_path / "b", bytes(range(4)) * CHUNK)
    start = header_bytes(raw)
    step = CHUNK + 16
    head, chunks = raw[:start], [raw[at : at + step] for at in range(start, len(raw), step)]
    assert len(chunks) == 4
    for order in ([1, 0, 2, 3], [0, 2, 1, 3], [0, 2, 3], [0, 1, 1, 2, 3], [0, 1, 2, 3, 3], [3], [1, 2, 3]):
        (tmp_path / "c").write_bytes(head + b"".join(chunks[at] for at in order))
        with pytest.raises(BadBackup):
            contents(tmp_path / "c", 4 * CHUNK)


@pytest.mark.requirement("F-BACKUP")
def test_a_chunk_of_another_backup_is_found(tmp_path: Path) -> None:
    one, other = written(tmp_path / "a", bytes(2 * CHUNK)), written(tmp_path / "b", bytes(2 * CHUNK))
    start = header_bytes(one)
    (tmp_path / "c").write_bytes(one[: start + CHUNK + 16] + other[start + CHUNK + 16 :])
    with pytest.raises(BadBackup, match="chunk 1 was changed"):
        contents(tmp_path / "c", 2 * CHUNK)


@given(st.binary(max_size=200))
def test_what_is_no_backup_is_told_so(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "b"
    for start in (b"", b"MSC-BACKUP 1\n", b"MSC-BACKUP 1\n\x00\x00\x00\x02{}"):
        file.write_bytes(start + raw)
        with pytest.raises(BadBackup):
            SealedReader(file, KEY)


def test_it_does_not_take_the_place_of_another_file(tmp_path: Path) -> None:
    written(tmp_path / "b", b"first")
    with pytest.raises(BadBackup, match="already"):
        SealedWriter(tmp_path / "b", [KEY.public_key()])
    assert contents(tmp_path / "b", 5) == b"first"


def test_it_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "b.part").write_bytes(b"left behind by a crash, and longer than what will be written" * 20)
    with SealedWriter(tmp_path / "b", [KEY.public_key()]) as to:
        to.write(bytes(3 * CHUNK))
        assert not (tmp_path / "b").exists()
        with pytest.raises(BadBackup, match="another backup is writing it"):
            SealedWriter(tmp_path / "b", [KEY.public_key()])
        to.finish()
    assert [file.name for file in tmp_path.iterdir()] == ["b"]
    assert contents(tmp_path / "b", 3 * CHUNK) == bytes(3 * CHUNK)


def test_nothing_is_left_of_one_that_was_given_up(tmp_path: Path) -> None:
    with pytest.raises(KeyError), SealedWriter(tmp_path / "b", [KEY.public_key()]) as to:
        to.write(bytes(3 * CHUNK))
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadBackup, match="No such file"):
        SealedWriter(tmp_path / "none" / "b", [KEY.public_key()])
    with pytest.raises(BadBackup, match="No such file"):
        SealedReader(tmp_path / "none", KEY)


@pytest.mark.requirement("F-BACKUP")
@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_pair_of_keys_is_made_and_read(tmp_path: Path, passphrase: bytes | None) -> None:
    private, public = tmp_path / "backup.key", tmp_path / "backup.pub"
    name = make_backup_key(private, public, passphrase)
    assert private.stat().st_mode & 0o777 == 0o600
    (locking,) = load_public_keys(public)
    key = load_private_key(private, passphrase)
    assert key_name(locking) == key_name(key.public_key()) == name
    with pytest.raises(BadBackupKey, match="cannot be made"):
        make_backup_key(private, tmp_path / "other.pub", None)
    with pytest.raises(BadBackupKey, match="passphrase"):
        load_private_key(private, b"wrong" if passphrase else b"needless")
    if passphrase:
        with pytest.raises(BadBackupKey, match="is encrypted"):
            load_private_key(private, None)


def test_several_public_keys_stand_in_one_file(tmp_path: Path) -> None:
    pems = [key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in (KEY, OTHER)]
    (tmp_path / "keys.pub").write_bytes(b"\n".join(pems))
    assert [key_name(key) for key in load_public_keys(tmp_path / "keys.pub")] == [
        key_name(KEY.public_key()),
        key_name(OTHER.public_key()),
    ]


def test_keys_of_another_kind_or_none_are_refused(tmp_path: Path) -> None:
    signing = Ed25519PrivateKey.generate()
    (tmp_path / "a").write_bytes(signing.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "b").write_bytes(signing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "c").write_bytes(b"")
    (tmp_path / "d").write_bytes(b"no key")
    with pytest.raises(BadBackupKey, match="X25519"):
        load_public_keys(tmp_path / "a")
    with pytest.raises(BadBackupKey, match="X25519"):
        load_private_key(tmp_path / "b", None)
    for name in "cd":
        with pytest.raises(BadBackupKey):
            load_public_keys(tmp_path / name)
        with pytest.raises(BadBackupKey):
            load_private_key(tmp_path / name, None)
