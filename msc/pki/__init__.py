"""Certificates: the site's authority, its folder, what is revoked, whom it trusts, and the material in force."""
