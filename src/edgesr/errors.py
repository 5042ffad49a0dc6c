"""The one exception that reaches the person at the keyboard: its message is a single line that says what to do."""


class EdgesrError(Exception):
    """Something the user can mend: a bad file, a wrong option, a missing extra.

    The message is one line, names the file or field, and says what to do. The command line prints it without a traceback.
    """


class InputError(EdgesrError):
    """One input could not be read, or its output could not be written; the other inputs go on (exit code 1)."""


class DivergedError(EdgesrError):
    """A training that went astray, its loss not finite or its pictures drifting: a result of its recipe, unlike a full disk."""


class UsageError(EdgesrError):
    """The command line, or an argument of the Python interface, is wrong (exit code 2)."""
