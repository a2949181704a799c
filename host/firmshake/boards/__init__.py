"""Boards: the one table of those that are known, and which of them are plugged in."""
