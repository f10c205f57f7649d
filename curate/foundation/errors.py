"""Errors that a person can cause, each said in one sentence: what, where, and what to do.

Anything else that is raised is a fault of fewpose and keeps its traceback.
"""


class FewposeError(Exception):
    """The work failed (exit code 1)."""

    exit_code = 1


class UsageError(FewposeError):
    """What was asked for makes no sense (exit code 2)."""

    exit_code = 2


class Busy(FewposeError):
    """Another process is at work there; later it may be done."""
