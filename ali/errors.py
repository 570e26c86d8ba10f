"""The one error that is meant for the reader: what was wrong, where, and what to do about it."""

__all__ = ["AliError"]


class AliError(ValueError):
    """Something that a user can mend: the command line prints its words without a traceback."""
