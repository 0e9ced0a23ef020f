"""A certificate authority for tests, and what it issues."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority for a test: ECDSA on P-256, names as URIs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self._name, self._key.public_key()).add_extension(constraints, critical=True)
        self._write(self.ca, certificate)

    def issue(self, uri: str) -> Pair:
        """Issue a certificate that names its holder in one URI."""
        key = ec.generate_private_key(ec.SECP256R1())
        pair = Pair(
            self.folder / f"{uri[6:].replace('/', '-')}.pem", self.folder / f"{uri[6:].replace('/', '-')}.key"
        )
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, uri)])
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        self._write(pair.certificate, self._builder(name, key.public_key()).add_extension(names, critical=False))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pair

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    def _write(self, file: Path, builder: x509.CertificateBuilder) -> None:
        file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def certificates(authority: Authority) -> Callable[[str], Pair]:
    """Issue each name's certificate once."""
    issued: dict[str, Pair] = {}

    def issue(uri: str) -> Pair:
        if uri not in issued:
            issued[uri] = authority.issue(uri)
        return issued[uri]

    return issue
