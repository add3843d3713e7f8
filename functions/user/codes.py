"""Verification codes: sent to a phone, and shown to prove that the phone is one's own (contract, User)."""

import secrets
from datetime import timedelta
from typing import Any, NamedTuple, Protocol, TypeVar

import sqlalchemy as sa
from hongyan import metrics, rate_limits
from hongyan.clock import now
from hongyan.errors import (
    PhoneNotReachable,
    Problem,
    RateLimited,
    SmsUnavailable,
    VerificationCodeExpired,
    VerificationCodeWrong,
)
from hongyan.ids import new_id
from hongyan.metrics import Metric
from hongyan.observability import logger
from hongyan.unit_of_work import UnitOfWork, perform, read

from functions.user import repository
from functions.user.passwords import hash_password, is_password
from functions.user.schemas import CodeRequest, PhoneProof, Purpose, SentCode

T = TypeVar("T")

LIFE = timedelta(minutes=5)
KEPT = timedelta(days=1)  # after its end, so that a late try is told that the code is over and not that it is wrong

COOL_DOWN = rate_limits.at_most(1, 30, "code-cool-down")
A_PHONE_A_DAY = rate_limits.at_most(10, 24 * 60 * 60, "codes-of-phone")
AN_ADDRESS_AN_HOUR = rate_limits.at_most(30, 60 * 60, "codes-of-address")


class SmsPerhapsSent(SmsUnavailable):
    """The vendor was asked and its answer is not known: the message may arrive."""


class SmsSender(Protocol):
    """Whoever delivers messages to phones."""

    def send_code(self, phone: str, purpose: Purpose, code: str) -> None:
        """Send a code to a phone in E.164, once.

        Raises:
            PhoneNotReachable: there is no such number.
            RateLimited: too many, for whoever delivers.
            SmsPerhapsSent: that is not known.
            SmsUnavailable: it was not sent.

        """


class Weighed(NamedTuple):
    """A proof that was compared with what was sent, and that still has to be spent."""

    proof: PhoneProof
    is_right: bool


def send(request: CodeRequest, address: str, sender: SmsSender) -> SentCode:
    """Send a fresh code, whoever has the phone or nobody: the answer never tells which.

    It is counted before it is sent, so that many requests at once, and one that dies on its way, are counted too. What
    was certainly not sent does not count for the phone. What was perhaps sent does, as a phone must not be flooded by
    a vendor that delivers and does not say so; its code is no good.

    Raises:
        RateLimited: too soon after the last one, or too many, for the phone or the source address.
        PhoneNotReachable: the vendor does not deliver to this number.
        SmsUnavailable: the vendor is out of reach.
        redis.RedisError: the limits cannot be told, so nothing is sent: each SMS costs money.

    """
    try:
        sent = _send_counted(request, address, sender)
    except (RateLimited, PhoneNotReachable):
        metrics.count(Metric.CODES_REFUSED)
        raise
    except Exception:
        metrics.count(Metric.CODES_FAILED)
        raise
    metrics.count(Metric.CODES_SENT)
    return sent


def weigh(proof: PhoneProof, purpose: Purpose) -> Weighed:
    """Compare a proof with what was sent. This is the slow part, with nothing locked; `spend` decides."""
    row = read(lambda connection: repository.find_code(connection, proof.code_id))
    was_sent = row is not None and row.phone == proof.phone and row.purpose == purpose
    is_right = is_password(proof.code, None if row is None else row.code_hash)
    return Weighed(proof, is_right and was_sent)


def spend(unit: UnitOfWork, weighed: Weighed) -> Problem | None:
    """Use up the code or, when it is wrong, one of its tries. Of many at once one succeeds at most.

    What is wrong is returned and not raised, because the try must be committed with it.
    """
    code_id, moment = weighed.proof.code_id, now()
    if weighed.is_right:
        is_spent = repository.spend_code(unit.connection, code_id, moment)
        return None if is_spent else VerificationCodeExpired()
    if repository.count_wrong_try(unit.connection, code_id, moment):
        return VerificationCodeWrong()
    return _over_or_unknown(unit.connection, weighed.proof)


def settled(outcome: T | Problem) -> T:
    """Return what was committed or, now that the code's tries are, raise why there is nothing.

    Raises:
        Problem: it was returned by `spend`, or by what came after.

    """
    if isinstance(outcome, Problem):
        raise outcome
    return outcome


def _send_counted(request: CodeRequest, address: str, sender: SmsSender) -> SentCode:
    of_phone = (COOL_DOWN, request.phone), (A_PHONE_A_DAY, request.phone)
    rate_limits.take_all(*of_phone, (AN_ADDRESS_AN_HOUR, rate_limits.subscriber(address)))
    try:
        return _send(request, sender)
    except SmsPerhapsSent:
        raise
    except Exception:
        rate_limits.give_back_if_counted(*of_phone)
        raise


def _send(request: CodeRequest, sender: SmsSender) -> SentCode:
    code, code_id = f"{secrets.randbelow(1_000_000):06}", new_id()
    row = {
        "id": code_id,
        "phone": request.phone,
        "purpose": request.purpose,
        "code_hash": hash_password(code),
        "expires_at": now() + LIFE,
        "wrong_tries": 0,
    }
    # Stored before it is sent: what arrives on the phone must be good.
    perform(lambda unit: _store(unit, row))
    try:
        sender.send_code(request.phone, request.purpose, code)
    except Problem:
        perform(lambda unit: repository.delete_code(unit.connection, code_id))
        raise
    logger.info("a code was sent", code_id=code_id, purpose=request.purpose)
    return SentCode(code_id=code_id, expires_in=int(LIFE.total_seconds()), resend_after=COOL_DOWN.get_expiry())


def _store(unit: UnitOfWork, row: dict[str, Any]) -> None:
    repository.delete_old_codes(unit.connection, now() - KEPT)
    repository.insert_code(unit.connection, **row)


def _over_or_unknown(connection: sa.Connection, proof: PhoneProof) -> Problem:
    """Tell a code that is over from one that never was, to nobody but its phone."""
    row = repository.find_code(connection, proof.code_id)
    return VerificationCodeWrong() if row is None or row.phone != proof.phone else VerificationCodeExpired()
