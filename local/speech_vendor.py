"""A stand-in for the speech vendor (Baidu, short speech): `python -m local.speech_vendor PORT CONFIGURATION`.

It gives tokens and recognises as the vendor does, and checks what the vendor checks. English (`dev_pid` 1737) is really
recognised, by pocketsphinx and the model that it ships: poorly, and never made up. For what it cannot recognise, all
Mandarin and whatever holds no speech, it answers as the vendor does for audio that is too bad.

Beside the vendor's calls:

    PUT /fault {"kind": ..., "number": 0, "at": "recognition" or "token", "times": 1}    the next calls there fail so:
        err_no, error_code      the vendor's own code `number`, of the recogniser or of the gateway before it
        status                  HTTP status `number`, and no JSON
        slow, hang_up           an answer that comes after 20 s; none
    DELETE /fault               no more of them do
    DELETE /tokens              no token is good any more
    GET /health                 how often it was asked: {"tokens", "recognitions"}
"""

import asyncio
import base64
import hmac
import sys
from pathlib import Path
from typing import Literal

import uvicorn
from pocketsphinx import Decoder, Vad
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from ulid import ULID

from local.engines import HOST

_RATE = 16_000
_BYTES_A_SECOND = _RATE * 2
_LONGEST_SECONDS, _SHORTEST_SECONDS = 60, 0.1
_TOKEN_SECONDS = 30 * 24 * 60 * 60
_SLOW_SECONDS = 20
_ENGLISH = 1737
_MODELS = {1537, _ENGLISH, 1637, 1837, 1936}  # Mandarin, English, Cantonese, Sichuanese, Mandarin from afar
_LONGEST_CUID = 60
# Less of it is a click or a hum, not a word.
_LEAST_SPEECH_SECONDS = 0.15


class VendorAccount(BaseModel):
    """What the vendor knows of its only customer."""

    api_key: str
    secret_key: str


class Fault(BaseModel):
    """How calls to come fail."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["err_no", "error_code", "status", "slow", "hang_up"]
    number: int = 0
    at: Literal["recognition", "token"] = "recognition"
    times: int = 1


class Asked(BaseModel):
    """The body of a recognition. A list of the vendor's names nothing else."""

    model_config = ConfigDict(extra="forbid")

    format: StrictStr
    rate: StrictInt
    channel: StrictInt
    cuid: StrictStr = Field(min_length=1, max_length=_LONGEST_CUID)
    token: StrictStr
    dev_pid: StrictInt
    speech: StrictStr
    len: StrictInt


class RefusedError(Exception):
    """The vendor's answer to a bad request."""

    def __init__(self, err_no: int, message: str) -> None:
        super().__init__(message)
        self.err_no = err_no
        self.message = message


class Vendor:
    """The vendor's state: its tokens, the faults to come, and one recogniser, which does one thing at a time."""

    def __init__(self, account: VendorAccount) -> None:
        self._account = account
        self._tokens: set[str] = set()
        self._faults: list[Fault] = []
        self._calls = {"tokens": 0, "recognitions": 0}
        self._decoder = Decoder(samprate=float(_RATE), cmn="batch", loglevel="FATAL")
        self._vad = Vad(Vad.MEDIUM_STRICT, _RATE, 0.03)
        self._deciding = asyncio.Lock()

    async def token(self, request: Request) -> Response:
        """Give a token for the account's keys."""
        self._calls["tokens"] += 1
        if (fault := self._fault("token")) is not None:
            return await _fail(fault)
        given = request.query_params
        if given.get("grant_type") != "client_credentials":
            return _no_token(400, "unsupported_grant_type", "The authorization grant type is not supported")
        if given.get("client_id") != self._account.api_key:
            return _no_token(401, "invalid_client", "unknown client id")
        if not hmac.compare_digest(given.get("client_secret", ""), self._account.secret_key):
            return _no_token(401, "invalid_client", "Client authentication failed")
        token = f"24.{ULID()}.{_TOKEN_SECONDS}"
        self._tokens.add(token)
        scope = "audio_voice_assistant_get brain_all_scope public"
        return JSONResponse({"access_token": token, "expires_in": _TOKEN_SECONDS, "scope": scope})

    async def recognize(self, request: Request) -> Response:
        """Answer a recognition. The vendor's refusals come with HTTP's 200."""
        self._calls["recognitions"] += 1
        if (fault := self._fault("recognition")) is not None:
            return await _fail(fault)
        try:
            asked, speech = self._check(await request.body())
            async with self._deciding:
                text = await asyncio.to_thread(self._text, asked, speech)
        except RefusedError as refused:
            return JSONResponse({"err_no": refused.err_no, "err_msg": refused.message, "sn": str(ULID())})
        return JSONResponse({"err_no": 0, "err_msg": "success.", "sn": str(ULID()), "result": [text]})

    async def fault(self, request: Request) -> Response:
        """Let the next calls fail, or no more."""
        if request.method == "DELETE":
            self._faults.clear()
            return Response(status_code=204)
        try:
            wanted = Fault.model_validate_json(await request.body())
        except ValidationError as error:
            return PlainTextResponse(str(error), status_code=422)
        self._faults += [wanted] * wanted.times
        return Response(status_code=204)

    async def forget_tokens(self, request: Request) -> Response:  # noqa: ARG002  # Starlette's signature
        """Let no token be good any more."""
        self._tokens.clear()
        return Response(status_code=204)

    async def health(self, request: Request) -> Response:  # noqa: ARG002  # Starlette's signature
        """Answer that it runs, and how often it was asked."""
        return JSONResponse(self._calls)

    def _fault(self, at: str) -> Fault | None:
        fault = next((fault for fault in self._faults if fault.at == at), None)
        if fault is not None:
            self._faults.remove(fault)
        return fault

    def _check(self, body: bytes) -> tuple[Asked, bytes]:
        try:
            asked = Asked.model_validate_json(body)
            speech = base64.b64decode(asked.speech, validate=True)
        except ValueError:  # pydantic's and base64's are both
            raise RefusedError(3300, "json param error.") from None
        if asked.token not in self._tokens:
            raise RefusedError(3302, "authentication failed.")
        if asked.channel != 1 or asked.dev_pid not in _MODELS or asked.len != len(speech):
            raise RefusedError(3300, "param channel, dev_pid or len invalid.")
        if asked.rate != _RATE:
            raise RefusedError(3311, "param rate invalid.")
        if asked.format != "pcm":  # the vendor knows more of them
            raise RefusedError(3312, "param format invalid.")
        if len(speech) > _LONGEST_SECONDS * _BYTES_A_SECOND:
            raise RefusedError(3308, "speech too long.")
        if len(speech) < _SHORTEST_SECONDS * _BYTES_A_SECOND:
            raise RefusedError(3314, "speech too short.")
        return asked, speech

    def _text(self, asked: Asked, speech: bytes) -> str:
        if asked.dev_pid != _ENGLISH or self._seconds_of_speech(speech) < _LEAST_SPEECH_SECONDS:
            raise RefusedError(3301, "speech quality error.")
        self._decoder.reinit_feat()  # what was said before changes nothing of what is heard next
        self._decoder.start_utt()
        self._decoder.process_raw(speech, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        if found is None or not found.hypstr:
            raise RefusedError(3301, "speech quality error.")
        return str(found.hypstr)

    def _seconds_of_speech(self, speech: bytes) -> float:
        size = self._vad.frame_bytes
        frames = [speech[at : at + size] for at in range(0, len(speech) - size + 1, size)]
        heard = sum(1 for frame in frames if self._vad.is_speech(frame))
        return float(heard * size / _BYTES_A_SECOND)


def app(account: VendorAccount) -> Starlette:
    """Return the vendor as an ASGI app."""
    vendor = Vendor(account)
    return Starlette(
        routes=[
            Route("/oauth/2.0/token", vendor.token, methods=["GET", "POST"]),
            Route("/server_api", vendor.recognize, methods=["POST"]),
            Route("/fault", vendor.fault, methods=["PUT", "DELETE"]),
            Route("/tokens", vendor.forget_tokens, methods=["DELETE"]),
            Route("/health", vendor.health),
        ]
    )


def main() -> None:
    """Serve on loopback until told to end."""
    port, configuration = int(sys.argv[1]), Path(sys.argv[2])
    account = VendorAccount.model_validate_json(configuration.read_text())
    # No access log: token calls carry the secret in their query.
    uvicorn.run(app(account), host=HOST, port=port, access_log=False, timeout_graceful_shutdown=1)


class _HangUp(Response):
    """Promises a body and ends without one, whereupon uvicorn ends the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})


async def _fail(fault: Fault) -> Response:
    match fault.kind:
        case "err_no":
            return JSONResponse({"err_no": fault.number, "err_msg": "as told", "sn": str(ULID())})
        case "error_code":
            return JSONResponse({"error_code": fault.number, "error_msg": "as told"})
        case "status":
            return PlainTextResponse("as told", status_code=fault.number)
        case "slow":
            await asyncio.sleep(_SLOW_SECONDS)
    return _HangUp()


def _no_token(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status_code=status)


if __name__ == "__main__":
    main()
