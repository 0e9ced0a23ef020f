"""Who asks: only an operator in force, with a certificate in force, who holds its key, for this one request."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from msc.control.operator_key import OperatorKey
from msc.control.sign_in import Challenges, NotSignedIn, SignedIn, SignIn
from msc.control.signature import CERTIFICATE, NONCE, SIGNATURE, BadProof, Proof
from msc.directory.rows import Directory, Operator, Role, Status
from msc.limits import CHALLENGE_S, CHALLENGES_USED_MAX
from tests.support.county import county
from tests.support.operators import STRANGER, Anchor, issue, operator

SEARCH = ("POST", "/journal/search", b"{}")


class Clock:
    """A monotonic clock moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Door:
    """A sign-in over the small county."""

    def __init__(self, directory: Directory | None = None) -> None:
        self.clock = Clock()
        self.directory = directory or county()
        self.anchor = Anchor()
        self.sign_in = SignIn(self.directory, self.anchor.trust, self.clock)

    def proof(
        self, key: OperatorKey, method: str = "POST", target: str = "/journal/search", body: bytes = b"{}"
    ) -> Proof:
        return key.proof(self.sign_in.challenges.give(), method, target, body)

    def asks(self, key: OperatorKey) -> SignedIn:
        return self.sign_in.examine(self.proof(key), *SEARCH)

    def refuses(self, key: OperatorKey) -> str:
        with pytest.raises(NotSignedIn) as refused:
            self.asks(key)
        return str(refused.value)


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize("role", Role)
def test_an_operator_who_holds_the_key_signs_in(role: Role) -> None:
    signed = Door().asks(operator("admin" if role is Role.ADMINISTRATOR else role.value))
    assert signed.operator.role is role


@pytest.mark.requirement("C-ACCESS")
def test_a_proof_travels_in_headers() -> None:
    proof = Door().proof(operator("admin"))
    assert Proof.of(proof.headers()) == proof
    assert Proof.of({"Accept": "x"}) is None


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/journal/search", b"{}"),
        ("POST", "/journal/audit", b"{}"),
        ("POST", "/journal/search?all=1", b"{}"),
        ("POST", "/journal/search", b'{"criteria":{}}'),
    ],
)
def test_a_signature_is_good_for_the_request_it_was_made_for_alone(method: str, target: str, body: bytes) -> None:
    door = Door()
    proof = door.proof(operator("admin"))
    with pytest.raises(NotSignedIn, match="of another request"):
        door.sign_in.examine(proof, method, target, body)


@pytest.mark.requirement("C-ACCESS")
def test_a_request_heard_by_somebody_is_worth_nothing_again() -> None:
    door = Door()
    proof = door.proof(operator("admin"))
    door.sign_in.examine(proof, *SEARCH)
    with pytest.raises(NotSignedIn, match="used before"):
        door.sign_in.examine(proof, *SEARCH)


@pytest.mark.requirement("C-ACCESS")
def test_a_stale_nonce_is_refused() -> None:
    door = Door()
    proof = door.proof(operator("admin"))
    door.clock.now += CHALLENGE_S + 0.1
    with pytest.raises(NotSignedIn, match="stale"):
        door.sign_in.examine(proof, *SEARCH)


@pytest.mark.requirement("C-ACCESS")
def test_anothers_certificate_without_its_key_is_refused() -> None:
    door = Door()
    stolen = replace(operator("coordinator"), certificate=operator("admin").certificate)
    assert "not by the certificate's key" in door.refuses(stolen)


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("msc://device/admin", "a device's"),
        ("msc://host/admin", "a host's"),
        ("msc://switch/admin", "a switch's"),
        ("msc://operator/nobody", "names no operator"),
    ],
)
def test_a_certificate_that_is_no_operators_of_the_directory_is_refused(uri: str, why: str) -> None:
    assert why in Door().refuses(issue(uri))


@pytest.mark.requirement("C-ACCESS")
def test_a_certificate_of_another_authority_is_refused() -> None:
    assert "not issued by the site's authority" in Door().refuses(issue("msc://operator/admin", STRANGER))


@pytest.mark.requirement("C-ACCESS")
def test_a_certificate_that_has_expired_or_has_not_begun_is_refused() -> None:
    assert "expired" in Door().refuses(issue("msc://operator/admin", ago=timedelta(days=9), days=2))
    assert "not valid yet" in Door().refuses(issue("msc://operator/admin", ago=timedelta(days=-3), days=2))


@pytest.mark.requirement("C-ACCESS")
def test_a_revoked_certificate_is_refused_and_its_successor_is_not() -> None:
    door, old, new = Door(), operator("admin"), operator("admin")
    door.asks(old)
    door.anchor.revoke(old)
    assert "revoked" in door.refuses(old)
    door.asks(new)


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize("status", [Status.SUSPENDED, Status.DISABLED, Status.REMOVED])
def test_an_operator_who_is_not_in_force_is_refused(status: Status) -> None:
    door = Door()
    door.directory.replace([replace(door.directory.operators["auditor"], status=status)])
    assert f"is {status}" in door.refuses(operator("auditor"))


@pytest.mark.requirement("C-ACCESS")
def test_a_row_may_name_the_one_certificate_that_counts() -> None:
    old, new = operator("roe"), operator("roe")
    fingerprint = new.certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    door = Door(county(operators=[Operator("roe", "ROE, RAY", Role.AUDITOR, certificate=fingerprint)]))
    door.asks(new)
    assert "another certificate" in door.refuses(old)


@pytest.mark.requirement("C-ACCESS")
def test_who_is_refused_is_named_as_they_claim() -> None:
    door = Door()
    with pytest.raises(NotSignedIn) as refused:
        door.asks(issue("msc://operator/admin", STRANGER))
    assert refused.value.claimed == "admin"


@pytest.mark.requirement("C-ACCESS", "N-SCOPE")
def test_what_changes_meanwhile_ends_what_lasts() -> None:
    door, key = Door(), operator("coordinator")
    signed = door.asks(key)
    assert door.sign_in.standing(signed) is None
    door.directory.replace([replace(signed.operator, agency="SHERIFF")])
    assert "has changed" in str(door.sign_in.standing(signed))
    door.directory.replace([signed.operator])
    assert door.sign_in.standing(signed) is None
    door.anchor.revoke(key)
    assert "revoked" in str(door.sign_in.standing(signed))


# --- nonces -------------------------------------------------------------------------------------------


def test_nonces_differ_and_are_of_the_switch_that_made_them() -> None:
    clock = Clock()
    here, elsewhere = Challenges(clock), Challenges(clock)
    given_out = [here.give() for _ in range(100)]
    assert len(set(given_out)) == 100
    assert all(here.fault(nonce) is None for nonce in given_out)
    assert all(elsewhere.fault(nonce) for nonce in given_out)


@given(
    st.text(max_size=60) | st.binary(min_size=40, max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
def test_property_an_invented_nonce_is_none(nonce: str) -> None:
    assert Challenges(Clock()).fault(nonce) == "the nonce is not one of this switch"


@given(st.data())
def test_property_a_changed_nonce_is_none(data: st.DataObject) -> None:
    challenges = Challenges(Clock())
    nonce = challenges.give()
    challenges.use(nonce)
    at = data.draw(st.integers(0, len(nonce) - 1))
    other = data.draw(st.sampled_from("ABCxyz019-_=+/ \n"))
    changed = nonce[:at] + other + nonce[at + 1 :]
    assert challenges.fault(changed) is not None
    assert challenges.fault(nonce + "=") is not None


def test_used_nonces_are_kept_until_they_are_stale_and_no_more_than_so_many() -> None:
    clock = Clock()
    challenges = Challenges(clock)
    for _ in range(CHALLENGES_USED_MAX):
        assert challenges.use(challenges.give()) is None
    assert "too many" in str(challenges.use(challenges.give()))
    clock.now += CHALLENGE_S + 2
    assert challenges.use(challenges.give()) is None


# --- what cannot be read ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [CERTIFICATE, NONCE, SIGNATURE])
def test_a_proof_that_lacks_a_part_is_told(name: str) -> None:
    headers = Door().proof(operator("admin")).headers()
    del headers[name]
    with pytest.raises(BadProof, match="needs"):
        Proof.of(headers)


@given(certificate=st.text(), signature=st.text())
def test_property_no_header_makes_more_than_a_refusal(certificate: str, signature: str) -> None:
    with pytest.raises(BadProof):
        Proof.of({CERTIFICATE: certificate, NONCE: "x", SIGNATURE: signature})
