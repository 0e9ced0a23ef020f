"""Who asks at the administrative socket: an operator of the directory who holds the key of a certificate in force.

There are no sessions: every request is signed over a nonce of its own. Nonces are not kept. Each bears its time and
a code that only this switch can make, so that whoever asks for a million of them costs no memory; those that were
used are kept until they are stale.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from msc import clock
from msc.control.signature import Proof, is_signed, text_to_sign
from msc.directory.rows import Directory, Operator
from msc.errors import MSCError
from msc.limits import CHALLENGE_S, CHALLENGES_USED_MAX
from msc.pki.authority import Holder
from msc.pki.trust import Trust

_RANDOM_BYTES: Final = 16
_TIME_BYTES: Final = 8
_CODE_BYTES: Final = 16


class NotSignedIn(MSCError):
    """Who asks is nobody who may; says why, in our own words.

    Attributes:
        claimed: The operator the certificate names, or None.
    """

    def __init__(self, reason: str, claimed: str | None = None) -> None:
        super().__init__(reason)
        self.claimed = claimed


class Challenges:
    """Nonces: fresh, good once, and made here.

    Args:
        now: The monotonic clock, seconds.
    """

    def __init__(self, now: Callable[[], float] = clock.monotonic) -> None:
        self._now = now
        self._secret = secrets.token_bytes(32)
        self._used: dict[str, float] = {}

    def give(self) -> str:
        """Make a nonce."""
        made = int(self._now() * 1000).to_bytes(_TIME_BYTES, "big") + secrets.token_bytes(_RANDOM_BYTES)
        return base64.urlsafe_b64encode(made + self._code(made)).decode().rstrip("=")

    def fault(self, nonce: str) -> str | None:
        """Say what is wrong with a nonce, or None. It can still be used."""
        try:
            raw = base64.b64decode(nonce + "=" * (-len(nonce) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return "the nonce is not one of this switch"
        made, code = raw[:-_CODE_BYTES], raw[-_CODE_BYTES:]
        if len(made) != _TIME_BYTES + _RANDOM_BYTES or not hmac.compare_digest(code, self._code(made)):
            return "the nonce is not one of this switch"
        # Many texts decode to one value: only the one that was given out counts, or a used one would come again.
        if base64.urlsafe_b64encode(raw).decode().rstrip("=") != nonce:
            return "the nonce is not one of this switch"
        if self._now() - int.from_bytes(made[:_TIME_BYTES], "big") / 1000 > CHALLENGE_S:
            return "the nonce is stale; ask for another"
        if nonce in self._used:
            return "the nonce was used before"
        return None

    def use(self, nonce: str) -> str | None:
        """Take a nonce that has no fault, so that it never counts again; says what is wrong if it cannot be kept."""
        now = self._now()
        if len(self._used) >= CHALLENGES_USED_MAX:
            self._used = {each: stale for each, stale in self._used.items() if stale > now}
            if len(self._used) >= CHALLENGES_USED_MAX:
                return "too many requests; try again in a moment"
        self._used[nonce] = now + CHALLENGE_S + 1
        return None

    def _code(self, made: bytes) -> bytes:
        return hmac.digest(self._secret, made, "sha256")[:_CODE_BYTES]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who asks.

    Attributes:
        operator: Their row of the directory as it was when they asked.
        certificate: The one they showed.
    """

    operator: Operator
    certificate: x509.Certificate


class SignIn:
    """Finds out who asks.

    Args:
        directory: Followed: what commands change is seen at once.
        trust: Returns what the switch trusts now.
    """

    def __init__(
        self, directory: Directory, trust: Callable[[], Trust], now: Callable[[], float] = clock.monotonic
    ) -> None:
        self._directory = directory
        self._trust = trust
        self.challenges = Challenges(now)

    def examine(self, proof: Proof, method: str, target: str, body: bytes) -> SignedIn:
        """Find out who signed a request.

        Raises:
            NotSignedIn: Nobody who may ask anything; says why.
        """
        claimed = claimed_name(proof.certificate)
        fault = self.challenges.fault(proof.nonce)
        # The key first: who does not hold it learns nothing of whose certificate is good for what.
        if fault is None and not is_signed(
            proof.certificate, proof.signature, text_to_sign(proof.nonce, method, target, body)
        ):
            fault = "the signature is not by the certificate's key, or of another request"
        if fault is None:
            fault = self.challenges.use(proof.nonce)
        if fault is not None:
            raise NotSignedIn(fault, claimed)
        operator = operator_of(self._directory, self._trust(), proof.certificate)
        return SignedIn(operator, proof.certificate)

    def standing(self, signed: SignedIn) -> str | None:
        """Say why somebody who signed in a while ago may not go on, or None: of what lasts, this is asked again."""
        try:
            operator = operator_of(self._directory, self._trust(), signed.certificate)
        except NotSignedIn as exc:
            return str(exc)
        return None if operator == signed.operator else "the operator's row has changed; ask again"


def claimed_name(certificate: x509.Certificate) -> str | None:
    """Return the name a certificate claims; whether that is so is not looked at."""
    try:
        return Holder.of(certificate).name
    except ValueError:
        return None


def operator_of(directory: Directory, trust: Trust, certificate: x509.Certificate) -> Operator:
    """Find the operator a certificate is of: its chain, its time, its revocation and its row are looked at.

    Raises:
        NotSignedIn: It is nobody's who may ask anything; says why.
    """
    claimed = claimed_name(certificate)
    faults = trust.operator_faults(certificate, datetime.now(UTC))
    if faults:
        raise NotSignedIn(f"the certificate does not count: {'; '.join(faults)}", claimed)
    assert claimed is not None
    row = directory.operators.get(claimed)
    if row is None:
        raise NotSignedIn("the certificate names no operator of the directory", claimed)
    if not row.in_force(clock.today()):
        raise NotSignedIn(f"the operator is {row.status}", claimed)
    wanted = row.certificate.replace(":", "").lower()
    if wanted and certificate.fingerprint(hashes.SHA256()).hex() != wanted:
        raise NotSignedIn("the directory names another certificate of the operator", claimed)
    return row
