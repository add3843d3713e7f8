"""Recognition through Baidu (AI Open Platform, short speech) by its SDK. Importing this costs 0.25 s.

The SDK as it is shipped sends what people say over plain http, and checks no certificate in any of its calls. Here it
is given its addresses, and a session that verifies whatever it asks for.
"""

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import urlsplit

import requests
from aip import AipSpeech
from hongyan import aws
from hongyan.errors import (
    AudioTooLong,
    AudioUnreadable,
    AudioUnrecognisable,
    Problem,
    SpeechUnavailable,
)
from hongyan.observability import logger
from pydantic import AfterValidator, BaseModel, StringConstraints, ValidationError
from pydantic_settings import BaseSettings
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, InvalidJSONError, SSLError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from functions.speech.samples import RATE

Language = Literal["zh", "en"]

_MODELS: dict[Language, int] = {"zh": 1537, "en": 1737}  # `dev_pid`: Mandarin, English

# Two tries that time out end before API Gateway's 29 s.
_CONNECT_MS, _READ_MS = 2_000, 9_000
_ATTEMPTS = 4
_NO_NEW_TRY_AFTER_SECONDS = 10

# A token lives for 30 days. One that is fetched ends no other, so containers need not share one.
_MARGIN_SECONDS, _MARGIN_SHARE = 60 * 60, 0.1

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SERVER_ERROR, _TOO_MANY = 500, 429
_HOUR = 60 * 60

# The vendor's codes: of the recogniser (`err_no`, 33xx) and of its gateway (`error_code`), by what they mean here.
_TOKEN_OVER = {110, 111, 3302}
_PASSING = {
    1,  # unknown error
    2,  # service temporarily unavailable
    13,  # the token service failed
    18,  # too many a second
    3303,  # recogniser's server error
    3304,  # too many a second
    3307,  # recognition failed at the server
    3313,  # recogniser timed out
    3315,  # processing timed out
    282000,  # internal error
}
_QUOTA_USED_UP = {4, 17, 19, 3305}
_OF_THE_AUDIO: dict[int, type[Problem]] = {
    3301: AudioUnrecognisable,  # quality too bad
    3308: AudioTooLong,
    3309: AudioUnreadable,
    3310: AudioTooLong,  # the file is too large, which 60 s never are
    3314: AudioUnrecognisable,  # too short
    3316: AudioUnreadable,  # not to be made PCM
}


class SpeechRecognizer(Protocol):
    """Whoever makes out what is said."""

    def recognize(self, speech: bytes, language: Language) -> str:
        """Return what is said in samples of 16 kHz, mono, 16 bit, of at most 60 s.

        Raises:
            AudioUnrecognisable: it cannot be made out, or nothing is said.
            AudioTooLong, AudioUnreadable: the recogniser does not take it.
            SpeechUnavailable: it is out of reach, refuses us or has no quota left.

        """


def _trusted(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url
    raise ValueError("is neither https nor of this machine")


# What people say goes nowhere in the clear but to a stand-in on this machine.
TrustedUrl = Annotated[str, AfterValidator(_trusted)]


class SpeechAccount(BaseModel):
    """The secret that the template keeps: where the vendor is, and whose account is used."""

    token_url: TrustedUrl
    recognition_url: TrustedUrl
    app_id: str
    api_key: str
    secret_key: str


class SpeechSettings(BaseSettings):
    """What only the functions that recognise have in their environment."""

    speech_secret_arn: str


class RefusedError(Exception):
    """The vendor answered with one of its codes."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class BaiduRecognizer:
    """A `SpeechRecognizer`. One is enough for all threads of a function."""

    def __init__(self, account: SpeechAccount) -> None:
        self._client = _Client(account)

    def recognize(self, speech: bytes, language: Language) -> str:
        """Ask the vendor, a few times if what is wrong may pass."""
        tries = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(_ATTEMPTS) | stop_after_delay(_NO_NEW_TRY_AFTER_SECONDS),
            wait=wait_random_exponential(multiplier=0.2, max=2),
            reraise=True,
        )
        try:
            text: str = tries(self._client.ask, speech, _MODELS[language])
        except RefusedError as refused:
            problem = problem_of(refused.code)
            log = logger.error if isinstance(problem, SpeechUnavailable) else logger.info
            log("the speech vendor refused", vendor_code=refused.code)
            raise problem from None
        except requests.RequestException as error:
            # Nothing of what it says is repeated: addresses of token calls hold the secret.
            logger.error("the speech vendor is out of reach", cause=type(error).__name__)
            raise SpeechUnavailable from None
        if not text:
            raise AudioUnrecognisable
        return text


@cache
def recognizer() -> SpeechRecognizer:
    """Return the recogniser of this environment."""
    answer = aws.secrets_manager().get_secret_value(SecretId=SpeechSettings().speech_secret_arn)
    return BaiduRecognizer(SpeechAccount.model_validate_json(answer["SecretString"]))


def problem_of(code: int) -> Problem:
    """Return what a code of the vendor's is for whoever sent the audio."""
    if code in _OF_THE_AUDIO:
        return _OF_THE_AUDIO[code]()
    return SpeechUnavailable(_HOUR) if code in _QUOTA_USED_UP else SpeechUnavailable()


def _may_pass(error: BaseException) -> bool:
    """Tell whether trying again can help: not against a wrong certificate, and not where we are refused."""
    if isinstance(error, RefusedError):
        return error.code in _PASSING
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code >= _SERVER_ERROR or error.response.status_code == _TOO_MANY
    passing = (requests.ConnectionError, requests.Timeout, ChunkedEncodingError, InvalidJSONError)
    return isinstance(error, passing) and not isinstance(error, SSLError)


class _VerifyingSession(requests.Session):
    """A session that checks certificates, whatever its caller says, and follows nobody elsewhere."""

    def __init__(self, account: SpeechAccount) -> None:
        super().__init__()
        self.adapters.clear()
        for url in (account.token_url, account.recognition_url):
            self.mount(url, HTTPAdapter())  # and no others: what is not asked of the vendor is not asked

    def request(self, *positional: Any, **named: Any) -> requests.Response:
        """Send a request, and raise for an answer that is an error."""
        named |= {"verify": True, "allow_redirects": False}
        response = super().request(*positional, **named)
        response.raise_for_status()
        return response


class _Token(BaseModel):
    """The vendor's answer to the account's keys."""

    access_token: str
    expires_in: int


# A minute of speech is some hundred characters; what is longer than any message is no answer.
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=5_000)]


class _Answer(BaseModel):
    """The recogniser's answer, or its gateway's. One that names no code at all is none."""

    err_no: int = -1
    error_code: int | None = None
    result: list[Text] = []


class _Tokens:
    """The account's token: fetched when needed, by one thread at a time, and kept until shortly before its end."""

    def __init__(self, fetch: Callable[[], _Token]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._good_until = 0.0

    def current(self) -> str:
        """Return a token that is good for a while."""
        with self._lock:
            if self._token is None or time.time() >= self._good_until:
                self._token = self._fetch()
                life = self._token.expires_in
                self._good_until = time.time() + life - min(_MARGIN_SECONDS, life * _MARGIN_SHARE)
            return self._token.access_token

    def forget(self, access_token: str) -> None:
        """Forget a token that the vendor does not take, unless another thread has renewed it meanwhile."""
        with self._lock:
            if self._token is not None and self._token.access_token == access_token:
                self._token = None


class _Client(AipSpeech):  # type: ignore[misc]  # untyped
    """The vendor's SDK, led to the account's addresses over a session that verifies."""

    def __init__(self, account: SpeechAccount) -> None:
        super().__init__(account.app_id, account.api_key, account.secret_key)
        # What the SDK keeps private, by Python's mangled names: its addresses, and what it sends with.
        self._AipBase__accessTokenUrl = account.token_url
        self._AipSpeech__asrUrl = account.recognition_url
        self._AipBase__client = self.s = _VerifyingSession(account)
        self.setConnectionTimeoutInMillis(_CONNECT_MS)
        self.setSocketTimeoutInMillis(_READ_MS)
        self._isCloudUser = False  # requests are signed by token
        self._tokens = _Tokens(self._fetch_token)

    def ask(self, speech: bytes, model: int) -> str:
        """Ask once.

        Raises:
            RefusedError: the vendor says why not.
            requests.RequestException: no answer, or none that can be read.

        """
        token = self._tokens.current()
        try:
            return self._ask(speech, model)
        except RefusedError as refused:
            if refused.code not in _TOKEN_OVER:
                raise
        self._tokens.forget(token)
        return self._ask(speech, model)

    def _ask(self, speech: bytes, model: int) -> str:
        answer = self.asr(speech, "pcm", RATE, {"dev_pid": model})
        if "result" not in answer:  # the SDK's own word for a time-out
            raise requests.Timeout
        return next(iter(answer["result"]), "")  # the others are what it may have been as well

    def _fetch_token(self) -> _Token:
        try:
            return _Token.model_validate(super()._auth(refresh=True))
        except (TypeError, ValidationError):
            raise InvalidJSONError from None

    def _auth(self, refresh: bool = False) -> dict[str, str]:  # noqa: ARG002, FBT001, FBT002  # the SDK's signature
        return {"access_token": self._tokens.current()}

    def _proccessResult(self, content: bytes) -> dict[str, Any]:  # noqa: N802  # the SDK's name
        """Read an answer. Raising here keeps the SDK from its own second try, which sends the old token once more."""
        try:
            answer = _Answer.model_validate_json(content)
        except ValidationError:
            raise InvalidJSONError from None
        code = answer.err_no if answer.error_code is None else answer.error_code
        if code:
            raise RefusedError(code)
        return answer.model_dump()
