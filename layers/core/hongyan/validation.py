"""What pydantic says of refused input, in the contract's form."""

from collections.abc import Iterable, Mapping
from typing import Any

from hongyan.errors import FieldError

_MAX_ERRORS = 20


def field_errors(errors: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """Return ``[{loc, msg}]`` (contract, Conventions). The refused value itself is left out: it may be a password.

    So is which of several forms of a body was taken, a step ``<form>`` of pydantic's: clients sent no such field.
    """
    return [
        {"loc": [_printable(step) for step in error["loc"] if not _is_form(step)], "msg": _message(error)}
        for error in list(errors)[:_MAX_ERRORS]
    ]


def _printable(step: str | int) -> str | int:
    # A field's name comes from the client: a lone surrogate in it cannot be written as UTF-8.
    return step.encode(errors="backslashreplace").decode()[:100] if isinstance(step, str) else step


def _is_form(step: str | int) -> bool:
    return isinstance(step, str) and step.startswith("<") and step.endswith(">")


def _message(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")
