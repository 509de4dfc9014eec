"""Implementations of the broker seam (`realtime/broker.py`)."""
