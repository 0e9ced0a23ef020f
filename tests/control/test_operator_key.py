"""An operator's certificate and key, from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from msc.control.operator_key import OperatorKey, load_operator_key
from msc.control.signature import is_signed, sign
from msc.errors import SiteError
from tests.support.operators import issue, operator, write_key


def nobody() -> None:
    """Stand for a pipe, which cannot be asked."""


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_key_is_read_and_signs_for_its_certificate(tmp_path: Path, passphrase: str | None) -> None:
    made = operator("roe")
    loaded = load_operator_key(*write_key(made, tmp_path, passphrase), lambda: passphrase)
    assert (loaded.name, loaded.certificate) == ("roe", made.certificate)
    assert is_signed(made.certificate, sign(loaded.key, b"x"), b"x")
    assert not is_signed(made.certificate, sign(loaded.key, b"x"), b"y")


@pytest.mark.requirement("C-ACCESS")
def test_a_key_others_can_read_is_refused_unless_it_is_encrypted(tmp_path: Path) -> None:
    certificate, key = write_key(operator("roe"), tmp_path)
    key.chmod(0o640)
    with pytest.raises(SiteError, match="others can read"):
        load_operator_key(certificate, key, nobody)
    certificate, key = write_key(operator("roe"), tmp_path, "correct horse")
    key.chmod(0o644)
    assert load_operator_key(certificate, key, lambda: "correct horse").name == "roe"


@pytest.mark.requirement("C-ACCESS")
@pytest.mark.parametrize(("given", "why"), [(None, "nobody to ask"), ("", "nobody to ask"), ("wrong", "wrong")])
def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path, given: str | None, why: str) -> None:
    with pytest.raises(SiteError, match=why):
        load_operator_key(*write_key(operator("roe"), tmp_path, "correct horse"), lambda: given)


def test_files_that_are_not_there_not_a_pair_or_no_operators_are_told(tmp_path: Path) -> None:
    one, other = write_key(operator("one"), tmp_path), write_key(operator("other"), tmp_path)
    cases: list[tuple[Path, Path, str]] = [
        (one[0], other[1], "is not the key of"),
        (one[0], tmp_path / "none.key", "cannot be read"),
        (tmp_path / "none.pem", one[1], "cannot be read"),
        (one[1], one[1], "is not a certificate"),
        (one[0], one[0], "is not a key"),
    ]
    device: OperatorKey = issue("msc://device/DESK1")
    cases.append((*write_key(device, tmp_path), "not an operator"))
    one[0].chmod(0o600)
    for certificate, key, why in cases:
        with pytest.raises(SiteError, match=why):
            load_operator_key(certificate, key, nobody)
