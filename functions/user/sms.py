"""SMS through Alibaba Cloud (Dysmsapi 2017-05-25, SendSms). Importing this costs 0.5 s: only what sends imports it."""

import json
from functools import cache

from alibabacloud_dysmsapi20170525.client import Client
from alibabacloud_dysmsapi20170525.models import SendSmsRequest
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.exceptions import UnretryableException
from darabonba.runtime import RuntimeOptions
from hongyan import aws
from hongyan.errors import PhoneNotReachable, Problem, RateLimited, SmsUnavailable
from hongyan.observability import logger
from pydantic import BaseModel
from pydantic_settings import BaseSettings
from urllib3.exceptions import ConnectTimeoutError

from functions.user.codes import SmsPerhapsSent, SmsSender
from functions.user.schemas import Purpose

# Together below the function's own time-out. The SDK tries once, as it is not told otherwise: an SMS sent again is a
# second SMS.
_RUNTIME = RuntimeOptions(connect_timeout=1_500, read_timeout=4_000)

_MINUTE, _HOUR, _DAY = 60, 60 * 60, 24 * 60 * 60
_SERVER_ERROR = 500

# The vendor's error codes (Dysmsapi error center), by what they mean for whoever asked.
_NOT_REACHABLE = {"isv.MOBILE_NUMBER_ILLEGAL", "isv.INVALID_PHONE_NUMBER"}
_TOO_MANY_A_DAY = {"isv.DAY_LIMIT_CONTROL", "isv.MONTH_LIMIT_CONTROL"}
_TOO_MANY = "isv.BUSINESS_LIMIT_CONTROL"
_VENDOR_FAILED = "isp.SYSTEM_ERROR"


class SmsAccount(BaseModel):
    """The secret that the template keeps: where the vendor is, whose account is used, what it sends."""

    endpoint: str
    access_key_id: str
    access_key_secret: str
    sign_name: str
    template_codes: dict[Purpose, str]


class SmsSettings(BaseSettings):
    """What only the sending function has in its environment."""

    sms_secret_arn: str


class AlibabaSms:
    """A `SmsSender`. The templates have one variable, ``code``."""

    def __init__(self, account: SmsAccount) -> None:
        scheme, _, host = account.endpoint.partition("://")
        self._account = account
        self._client = Client(
            Config(
                access_key_id=account.access_key_id,
                access_key_secret=account.access_key_secret,
                protocol=scheme,
                endpoint=host,
            )
        )

    def send_code(self, phone: str, purpose: Purpose, code: str) -> None:
        """Send the code, once.

        Raises:
            PhoneNotReachable: the vendor knows no such number.
            RateLimited: the vendor's own limit for the number or the account.
            SmsPerhapsSent: it answered too late, not at all or with an error of its own.
            SmsUnavailable: anything else that it refuses, or nobody took the connection.

        """
        request = SendSmsRequest(
            phone_numbers=_number(phone),
            sign_name=self._account.sign_name,
            template_code=self._account.template_codes[purpose],
            template_param=json.dumps({"code": code}),
        )
        try:
            answer = self._client.send_sms_with_options(request, _RUNTIME).body
        except AlibabaCloudException as error:
            raise _refused(str(error.code), "", str(error.request_id), error.status_code) from None
        except UnretryableException as error:
            # Nothing of what it says is repeated: its text holds the whole request, code and all.
            logger.error("the SMS vendor is out of reach", cause=type(error.inner_exception).__name__)
            raise (SmsUnavailable if _never_left(error) else SmsPerhapsSent) from None
        if answer.code != "OK":
            raise _refused(str(answer.code), str(answer.message), str(answer.request_id))


@cache
def sender() -> SmsSender:
    """Return the sender of this environment."""
    answer = aws.secrets_manager().get_secret_value(SecretId=SmsSettings().sms_secret_arn)
    return AlibabaSms(SmsAccount.model_validate_json(answer["SecretString"]))


def problem_of(code: str, message: str, status: int = 200) -> Problem:
    """Return what a refusal of the vendor's is for whoever asked for a code."""
    if code in _NOT_REACHABLE:
        return PhoneNotReachable()
    if code in _TOO_MANY_A_DAY:
        return RateLimited(_DAY)
    if code == _TOO_MANY:  # the window stands only in the message, in Chinese: by minute, hour or day
        return RateLimited(_DAY if "天级" in message else _HOUR if "小时级" in message else _MINUTE)
    if code.startswith("Throttling"):
        return RateLimited(_MINUTE)
    return SmsPerhapsSent() if status >= _SERVER_ERROR or code == _VENDOR_FAILED else SmsUnavailable()


def _refused(code: str, message: str, vendor_request_id: str, status: int = 200) -> Problem:
    problem = problem_of(code, message, status)
    log = logger.error if isinstance(problem, SmsUnavailable) else logger.warning
    log("the SMS vendor refused", vendor_code=code, vendor_request_id=vendor_request_id)
    return problem


def _never_left(error: UnretryableException) -> bool:
    """Tell whether no connection came about, so that nothing was asked. The SDK drops the cause, Python keeps it."""
    parts = getattr(error.inner_exception.__context__, "args", ())
    return any(isinstance(getattr(part, "reason", None), ConnectTimeoutError) for part in parts)


def _number(phone: str) -> str:
    """Return the number as the vendor writes it: Chinese ones plain, others with their country code and no plus."""
    return phone.removeprefix("+86") if phone.startswith("+86") else phone.removeprefix("+")
