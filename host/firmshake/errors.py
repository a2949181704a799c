"""The one exception that firmshake raises on purpose: what failed, and what to do next.

Does no I/O.
"""


class Error(Exception):
    """Something that a user can cause and can mend.

    `message` says what failed and on what, in lower case and without a full stop; `hint` says what
    to do next and may be empty. `status` is the exit status that the command line answers with:
    1 where the work failed, 2 where the command was used wrongly.
    """

    def __init__(self, message: str, hint: str = "", status: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.status = status


class WrongSecret(Error):
    """A passphrase or PIN that opens nothing. Its caller knows where it came from, and tells."""
