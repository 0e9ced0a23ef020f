"""MSC: an open message-switching computer for law enforcement."""

__version__ = "0.1.0"
