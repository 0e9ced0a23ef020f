"""Operators' orders and questions to a running switch: one pipeline and one registry of verbs."""
