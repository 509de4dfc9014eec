"""Callboard: live notifications, an activity log and presence over one log with one cursor."""

__version__ = "0.1.0"
