"""Stands in for MicroPython's `micropython` module where there is none: MiniMQTT wants `const`."""


def const(value: int) -> int:
    """The value itself: MicroPython's compiler folds it, CPython has no need to."""
    return value
