"""The site's terms of access."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msc.settings import (
    DEVICE_CLASSES,
    PASSWORD_POLICIES,
    AccessSettings,
    CredentialSettings,
    DeviceClassSettings,
    PasswordPolicySettings,
)


@dataclass(frozen=True, slots=True)
class Terms:
    """The site's terms of access, from `msc.toml`."""

    access: AccessSettings = field(default_factory=AccessSettings)
    credentials: CredentialSettings = field(default_factory=CredentialSettings)
    device_classes: Mapping[str, DeviceClassSettings] = field(default_factory=lambda: DEVICE_CLASSES)
    password_policies: Mapping[str, PasswordPolicySettings] = field(default_factory=lambda: PASSWORD_POLICIES)
    banned_passwords: frozenset[str] = frozenset()
