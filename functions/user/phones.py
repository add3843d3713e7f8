"""Phone numbers: mobile ones, in the one form in which they are kept (E.164)."""

import re
from typing import Annotated

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberType
from pydantic import AfterValidator

# The contract's two forms and no other: digits of other scripts, blanks and dashes are refused, not guessed at.
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_CHINESE = re.compile(r"1[0-9]{10}")

_MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}


def normalised(text: str) -> str | None:
    """Return the mobile number in E.164, or nothing when ``text`` is none.

    >>> normalised("13800138000"), normalised("+8613800138000"), normalised("+861012345678")
    ('+8613800138000', '+8613800138000', None)
    """
    written = f"+86{text}" if _CHINESE.fullmatch(text) else text
    if not _E164.fullmatch(written):
        return None
    try:
        number = phonenumbers.parse(written)
    except NumberParseException:
        return None
    is_mobile = phonenumbers.is_valid_number(number) and phonenumbers.number_type(number) in _MOBILE
    return written if is_mobile else None


def _mobile(text: str) -> str:
    phone = normalised(text)
    if phone is None:
        raise ValueError("is not a mobile number: E.164 (+8613800138000), or 11 digits for China")
    return phone


Phone = Annotated[str, AfterValidator(_mobile)]
