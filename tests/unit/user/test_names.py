"""Which phones, usernames and passwords will do."""

import pytest

from functions.user.passwords import weakness
from functions.user.phones import normalised
from functions.user.usernames import left_by, made_for, not_reserved

_USER_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.mark.parametrize(
    ("written", "phone"),
    [
        ("+8613800138000", "+8613800138000"),
        ("13800138000", "+8613800138000"),
        ("+447911123456", "+447911123456"),
        ("+85291234567", "+85291234567"),
        ("+12025550123", "+12025550123"),
    ],
)
def test_a_mobile_number_is_kept_in_e164(written: str, phone: str) -> None:
    assert normalised(written) == phone


@pytest.mark.parametrize(
    "written",
    [
        "",
        "1380013800",  # a digit short
        "138001380000",  # a digit long
        "12025550123",  # eleven digits mean China, where this is nobody's
        "8613800138000",
        "008613800138000",
        "+86 138 0013 8000",
        "138-0013-8000",
        "+86(138)00138000",
        "１３８００１３８０００",
        "+８６１３８００１３８０００",
        "+861012345678",  # a landline in Beijing
        "01012345678",
        "+4930123456",  # a landline in Berlin
        "+999123456789",
        "+0123456789",
        "13800138000\n",
        "ALICE",
    ],
)
def test_what_is_no_mobile_number_in_either_form_is_none(written: str) -> None:
    assert normalised(written) is None


@pytest.mark.parametrize("username", ["admin", "Admin", "ADMIN_", "-root-", "hongyan", "me", "system", "everyone"])
def test_a_reserved_username_is_refused(username: str) -> None:
    with pytest.raises(ValueError, match="is reserved"):
        not_reserved(username)


@pytest.mark.parametrize("username", [made_for(_USER_ID), left_by(_USER_ID), made_for(_USER_ID).upper()])
def test_nobody_may_choose_a_username_that_the_service_makes(username: str) -> None:
    with pytest.raises(ValueError, match="is reserved"):
        not_reserved(username)


@pytest.mark.parametrize("username", ["alice", "administrator1", "badmin", "user1", "closed", "me2"])
def test_any_other_username_is_free(username: str) -> None:
    assert not_reserved(username) == username


def test_made_usernames_have_the_form_of_chosen_ones() -> None:
    assert all(len(name) <= 32 and name.isalnum() for name in (made_for(_USER_ID), left_by(_USER_ID)))


@pytest.mark.parametrize("password", ["password", "12345678", "PassWord", "iloveyou", "qwertyuiop", "password123"])
def test_the_passwords_that_most_people_choose_are_refused(password: str) -> None:
    assert weakness(password, "alice") == "is one of the most common passwords"


@pytest.mark.parametrize("password", ["alice-2026", "ALICE-2026"])
def test_the_username_is_no_password(password: str) -> None:
    assert weakness(password, "Alice-2026") == "is the username"


@pytest.mark.parametrize("password", ["correct horse battery staple", "密码密码密码密码", "alice-2026!"])
def test_other_passwords_will_do(password: str) -> None:
    assert weakness(password, "alice-2026") is None
