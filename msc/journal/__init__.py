"""The journal: every message whole, every event of its life, every event of access control."""
