"""A site's certificates on disk: what was issued, what waits for an authority elsewhere, what is revoked.

```
certs/ca.pem  ca.key              the authority; no key where it is somebody else's
certs/crl.pem                     what is revoked; absent while nothing is
certs/issued/SERIAL.pem           every certificate ever issued: the register
STEM.pem  STEM.key                what a holder uses
STEM.csr  STEM.waiting.key        a request to an authority elsewhere, and the key that waits for its certificate
STEM.pair                         key and certificate on their way to STEM.key and STEM.pem
```

A key and its certificate are replaced one right after the other, each whole: a running switch looks at them only
once they have been left alone for a moment, so it never sees half of a pair. Before, both are written to `STEM.pair`,
which goes once they are in place. Where a crash left it, the next start or command puts them in place again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from msc.errors import Fault, SiteError
from msc.pki.authority import (
    Authority,
    CertificateProfile,
    Holder,
    Issued,
    authority_fault,
    certificate_faults,
    key_is_encrypted,
    make_request,
    pem_of,
    revocation,
)
from msc.pki.revocation import Edition, Lists, issuer_of, parse_crl


class CertificateState(StrEnum):
    """What a certificate is worth now."""

    VALID = "valid"
    NOT_YET_VALID = "not yet valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate of the register."""

    holder: Holder
    certificate: x509.Certificate
    state: CertificateState

    @property
    def serial(self) -> str:
        """Its serial number, hexadecimal."""
        return f"{self.certificate.serial_number:X}"

    @property
    def ends(self) -> datetime:
        """Until when it is valid."""
        return self.certificate.not_valid_after_utc

    @property
    def ended(self) -> bool:
        """Whether it is worth nothing any more, and never will be."""
        return self.state in (CertificateState.REVOKED, CertificateState.EXPIRED)


class CertificateFolder:
    """The certificates of a site.

    Args:
        ca: The authority's certificate, or several where there is a chain; its key stands beside it.
        crl: Where the list of what is revoked stands.
    """

    def __init__(self, ca: Path, crl: Path) -> None:
        self.folder = ca.parent
        self.ca = ca
        self.ca_key = ca.with_suffix(".key")
        self.crl = crl

    def finish(self) -> None:
        """Put the pairs in place that a crash left on their way.

        Raises:
            SiteError: They cannot be written.
        """
        for file in self.folder.rglob("*.pair"):
            finish_pair(file.with_suffix(""))

    # --- the authority ----------------------------------------------------------------------------

    def authorities(self) -> list[x509.Certificate]:
        """Read whom the site trusts.

        Raises:
            SiteError: Nobody, or the file cannot be read.
        """
        return _load_certificates(self.ca)

    def key_state(self) -> str:
        """Say whether the authority's key is here: `absent`, `encrypted` or `not encrypted`."""
        try:
            return "encrypted" if key_is_encrypted(self.ca_key.read_bytes()) else "not encrypted"
        except FileNotFoundError:
            return "absent"
        except OSError:
            return "unreadable"

    def establish(self, profile: CertificateProfile, passphrase: str) -> Authority:
        """Make the site's authority.

        Raises:
            SiteError: There is one.
        """
        self._refuse_overwriting([self.ca, self.ca_key], force=False)
        authority = Authority.create(profile)
        made = authority.sealed(passphrase)
        _write(self.ca_key, made.key, secret=True)
        _write(self.ca, made.certificate)
        return authority

    def adopt(self, file: Path, *, force: bool = False) -> list[x509.Certificate]:
        """Trust an authority elsewhere: keep its certificate, or chain of them.

        Raises:
            SiteError: There is an authority already, or the file holds something else or no root.
        """
        chain = _load_certificates(file)
        faults = [Fault(file, _name(each), fault) for each in chain if (fault := authority_fault(each))]
        if not any(each.issuer == each.subject for each in chain):
            faults.append(Fault(file, "", "holds no root: TLS follows a chain to its end"))
        if faults:
            raise SiteError(faults)
        self._refuse_overwriting([self.ca, self.ca_key], force=force)
        _write(self.ca, b"".join(map(pem_of, chain)))
        return chain

    # --- the register -----------------------------------------------------------------------------

    def register(self) -> list[IssuedCertificate]:
        """Return every certificate of this site's authority that is known, by holder and age.

        Those found beside the register count as well: a site may be older than its register.

        Raises:
            SiteError: The authority or the revocation list cannot be read.
        """
        issuers = {authority.subject for authority in self.authorities()}
        lists = [crl for own in self._lists().values() for crl in own]
        revoked = {(crl.issuer, entry.serial_number) for crl in lists for entry in crl}
        now, found = datetime.now(UTC), {}
        for file in sorted(self.folder.rglob("*.pem")):
            try:
                certificate = x509.load_pem_x509_certificate(file.read_bytes())
                holder = Holder.of(certificate)
            except (OSError, ValueError):
                continue  # an authority's, or a list
            if certificate.issuer not in issuers:
                continue
            state = CertificateState.VALID
            if (certificate.issuer, certificate.serial_number) in revoked:
                state = CertificateState.REVOKED
            elif certificate.not_valid_after_utc <= now:
                state = CertificateState.EXPIRED
            elif certificate.not_valid_before_utc > now:
                state = CertificateState.NOT_YET_VALID
            found[certificate.serial_number] = IssuedCertificate(holder, certificate, state)
        return sorted(found.values(), key=lambda row: (row.holder, row.certificate.not_valid_before_utc))

    def of(self, holder: Holder) -> list[IssuedCertificate]:
        """Return a holder's certificates, oldest first.

        Raises:
            SiteError: They cannot be read.
        """
        return [row for row in self.register() if row.holder == holder]

    def _enter(self, certificate: x509.Certificate) -> None:
        _write(self.folder / "issued" / f"{certificate.serial_number:X}.pem", pem_of(certificate))

    # --- issuing ----------------------------------------------------------------------------------

    def issue(
        self,
        authority: Authority,
        holder: Holder,
        stem: Path,
        *,
        hosts: Sequence[str] = (),
        days: int | None = None,
        valid_from: datetime | None = None,
        force: bool = False,
    ) -> x509.Certificate:
        """Issue a certificate into `STEM.pem` and `STEM.key`, and enter it into the register.

        Raises:
            SiteError: A file is there already and `force` is not given, or what was asked for cannot be.
        """
        self._refuse_overwriting([_pem(stem), _key(stem)], force=force)
        try:
            made = authority.issue(str(holder), hosts=hosts, days=days, valid_from=valid_from)
        except ValueError as exc:
            raise SiteError([Fault(_pem(stem), "", str(exc))]) from exc
        certificate = x509.load_pem_x509_certificate(made.certificate)
        self._enter(certificate)
        install(stem, made)
        return certificate

    def request(
        self,
        profile: CertificateProfile,
        holder: Holder,
        stem: Path,
        *,
        hosts: Sequence[str] = (),
        force: bool = False,
    ) -> Path:
        """Make a key and a request for an authority elsewhere; the key in use stays as it is.

        Returns:
            The request, `STEM.csr`.

        Raises:
            SiteError: One is waiting already and `force` is not given, or a host name is none.
        """
        request = Path(f"{stem}.csr")
        self._refuse_overwriting([request, _waiting(stem)], force=force)
        try:
            made = make_request(profile, holder, hosts)
        except ValueError as exc:
            raise SiteError([Fault(request, "", str(exc))]) from exc
        _write(_waiting(stem), made.key, secret=True)
        _write(request, made.certificate)
        return request

    def take_in(self, content: bytes, file: Path, stem: Path, *, serves: bool) -> x509.Certificate:
        """Take in a certificate an authority elsewhere has issued, for the key that waits at a stem.

        Args:
            content: The certificate; what follows it is passed over, for the chain stands in the site's `ca.pem`.
            file: Where it came from, for faults.
            stem: Its holder's.
            serves: Whether its holder is connected to.

        Raises:
            SiteError: With everything that is wrong with it; nothing is changed.
        """
        certificate = parse_certificates(content, file)[0]
        faults = certificate_faults(certificate, self.authorities(), serves=serves)
        now = datetime.now(UTC)
        if certificate.not_valid_after_utc <= now:
            faults.append("it has expired")
        key_file = next((file for file in (_waiting(stem), _key(stem)) if _belongs(file, certificate)), None)
        if key_file is None:
            faults.append(f"its key is neither {_waiting(stem)} nor {_key(stem)}")
        if faults or key_file is None:
            raise SiteError([Fault(file, "", fault) for fault in faults])
        self._enter(certificate)
        install(stem, Issued(pem_of(certificate), key_file.read_bytes()))
        for done in (_waiting(stem), Path(f"{stem}.csr")):
            done.unlink(missing_ok=True)
        return certificate

    # --- revoking ---------------------------------------------------------------------------------

    def _lists(self) -> Lists:
        if not self.crl.exists():
            return {}
        return parse_crl(self.crl.read_bytes(), self.crl, self.authorities())

    def revoke(self, authority: Authority, serials: Sequence[int], reason: x509.ReasonFlags) -> None:
        """Revoke certificates, and sign the authority's list again. What is revoked stays so.

        Raises:
            FaultyInput: The list that is there cannot be read or is of an authority that is not trusted.
        """
        lists, issuer = self._lists(), issuer_of(authority.certificate)
        own = lists.get(issuer, ())
        entries = {entry.serial_number: entry for crl in own for entry in crl}
        for serial in serials:
            entries.setdefault(serial, revocation(serial, reason))
        # A running switch takes no list that does not count up.
        number = (Edition.of(own).number or 0) + 1 if own else 1
        signed = x509.load_pem_x509_crl(authority.sign_crl(entries.values(), number))
        self._write_lists({**lists, issuer: [signed]})

    def take_in_crl(self, content: bytes, file: Path, *, force: bool = False) -> int:
        """Take in the revocation list of an authority elsewhere; those of other authorities stay.

        Returns:
            How many certificates it revokes.

        Raises:
            FaultyInput: It is not signed by an authority of the site, or older than the one of the same authority
                that is there.
        """
        lists, present = parse_crl(content, file, self.authorities()), self._lists()
        faults = [
            Fault(file, issuer[0], f"is older than the list in {self.crl}")
            for issuer in lists.keys() & present.keys()
            if Edition.of(lists[issuer]).is_older(Edition.of(present[issuer]))
        ]
        if faults and not force:
            raise SiteError(faults)
        self._write_lists({**present, **lists})
        return sum(len(Edition.of(own).serials) for own in lists.values())

    def _write_lists(self, lists: Lists) -> None:
        pem = [crl.public_bytes(serialization.Encoding.PEM) for own in lists.values() for crl in own]
        _write(self.crl, b"".join(pem))

    # --- handing over -----------------------------------------------------------------------------

    def export(self, stem: Path, holder: Holder, folder: Path) -> list[Path]:
        """Copy what a station needs into a folder: certificate, key, and whom to trust.

        Raises:
            SiteError: A file is missing, or the folder holds one of that name.
        """
        certificate, key = self._pair(stem)
        targets = [folder / f"{holder.name}.pem", folder / f"{holder.name}.key", folder / "ca.pem"]
        self._refuse_overwriting(targets, force=False)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(targets[0], certificate)
        _write(targets[1], key, secret=True)
        _write(targets[2], self.ca.read_bytes())
        return targets

    def export_pkcs12(self, stem: Path, holder: Holder, file: Path, password: str) -> None:
        """Write what a station needs into one file that a password protects (PKCS #12).

        Raises:
            SiteError: A file is missing, or `file` is there already.
        """
        certificate_pem, key_pem = self._pair(stem)
        certificate = parse_certificates(certificate_pem, _pem(stem))[0]
        try:
            key = serialization.load_pem_private_key(key_pem, None)
        except (ValueError, TypeError) as exc:
            raise SiteError([Fault(_key(stem), "", f"is not a key: {exc}")]) from exc
        self._refuse_overwriting([file], force=False)
        packed = pkcs12.serialize_key_and_certificates(
            str(holder).encode(),
            key,  # type: ignore[arg-type]  # ours are ECDSA
            certificate,
            self.authorities(),
            serialization.BestAvailableEncryption(password.encode()),
        )
        _write(file, packed, secret=True)

    def _pair(self, stem: Path) -> tuple[bytes, bytes]:
        try:
            return _pem(stem).read_bytes(), _key(stem).read_bytes()
        except OSError as exc:
            raise SiteError([Fault(Path(exc.filename), "", f"cannot be read: {exc.strerror}")]) from exc

    @staticmethod
    def _refuse_overwriting(files: Sequence[Path], *, force: bool) -> None:
        there = [Fault(file, "", "is there already") for file in files if file.exists()]
        if there and not force:
            raise SiteError(there)


def parse_certificates(content: bytes, file: Path) -> list[x509.Certificate]:
    """Read one or more certificates: PEM, or a single one as DER.

    Raises:
        SiteError: There is none.
    """
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except ValueError as exc:
        raise SiteError([Fault(file, "", "is not a certificate")]) from exc


def _load_certificates(file: Path) -> list[x509.Certificate]:
    try:
        return parse_certificates(file.read_bytes(), file)
    except OSError as exc:
        raise SiteError([Fault(file, "", f"cannot be read: {exc.strerror}")]) from exc


def _pem(stem: Path) -> Path:
    return Path(f"{stem}.pem")


def _key(stem: Path) -> Path:
    return Path(f"{stem}.key")


def _under_way(stem: Path) -> Path:
    return Path(f"{stem}.pair")


def _waiting(stem: Path) -> Path:
    return Path(f"{stem}.waiting.key")


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _belongs(key: Path, certificate: x509.Certificate) -> bool:
    """Tell whether a key file holds a certificate's key."""
    try:
        return serialization.load_pem_private_key(key.read_bytes(), None).public_key() == certificate.public_key()
    except (OSError, ValueError, TypeError):
        return False


def install(stem: Path, made: Issued) -> tuple[Path, Path]:
    """Put a certificate and its key in place, both of them whatever happens in between.

    Returns:
        `STEM.pem` and `STEM.key`; the key can be read by its owner alone.

    Raises:
        SiteError: They cannot be written.
    """
    _write(_under_way(stem), made.key + made.certificate, secret=True)
    finish_pair(stem)
    return _pem(stem), _key(stem)


def finish_pair(stem: Path) -> None:
    """Put a certificate and its key in place that are on their way, if there are any.

    Raises:
        SiteError: They cannot be written.
    """
    file = _under_way(stem)
    try:
        # The last certificate is ours: the file of a key may hold more than a key.
        key, begin, certificate = file.read_bytes().rpartition(b"-----BEGIN CERTIFICATE-----")
    except FileNotFoundError:
        return
    except OSError as exc:
        raise SiteError([Fault(file, "", f"cannot be read: {exc.strerror}")]) from exc
    if not key:
        raise SiteError([Fault(file, "", "is not a key and certificate")])
    _write(_key(stem), key, secret=True)
    _write(_pem(stem), begin + certificate)
    file.unlink(missing_ok=True)  # a start and a command may both have finished it
    _sync(file.parent)


def _write(file: Path, content: bytes, *, secret: bool = False) -> None:
    """Write a file whole: whoever reads it sees the old content or the new, and after a power cut the new."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        new = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            new.chmod(0o600 if secret else 0o644)
            new.replace(file)
            _sync(file.parent)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise SiteError([Fault(file, "", f"cannot be written: {exc.strerror}")]) from exc


def _sync(folder: Path) -> None:
    """Have the names of a folder on the disk: a renamed file may else be the old one again after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
