"""firmshake: from a private CA to a board that is proved to connect, or says why it does not."""

__version__ = "0.1.0"
