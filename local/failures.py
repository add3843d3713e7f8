"""The one error of the local stack."""


class StackError(Exception):
    """Something a person must know about; its text is one clear sentence, shown without a traceback."""
