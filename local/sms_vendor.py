"""A stand-in for the SMS vendor (Alibaba Cloud, Dysmsapi): `python -m local.sms_vendor PORT CONFIGURATION`.

It answers SendSms as the vendor does, checks what the vendor checks, and delivers to an inbox instead of a phone.
Nothing is sent anywhere. Beside the vendor's own call:

    GET /inbox?phone=+8613800138000    what arrived there, newest last: [{"phone", "code", "at"}]; without a phone, all
    PUT /fault {"kind": ..., "times": 1}   the next calls fail so; see `_FAULTS`
    DELETE /fault                      no more of them do
"""

import asyncio
import hashlib
import hmac
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import uvicorn
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from ulid import ULID

from local.engines import HOST

_ALGORITHM = "ACS3-HMAC-SHA256"
_FRESH = timedelta(minutes=15)
_AUTHORIZATION = re.compile(
    rf"{_ALGORITHM} Credential=(?P<key>[^,]+),SignedHeaders=(?P<headers>[^,]+),Signature=(?P<signature>[0-9a-f]{{64}})"
)
_CHINESE = re.compile(r"(\+86|0086|86)?(1[3-9][0-9]{9})")
_FOREIGN = re.compile(r"[1-9][0-9]{6,14}")
_SLOW_SECONDS = 10


class VendorAccount(BaseModel):
    """What the vendor knows of its only customer."""

    access_key_id: str
    access_key_secret: str
    sign_name: str
    template_codes: list[str]


class RefusedError(Exception):
    """The vendor's answer to a bad request."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message


_FAULTS = {
    "flow_control": (200, "isv.BUSINESS_LIMIT_CONTROL", "触发分钟级流控Permits:1"),
    "hour_limit": (200, "isv.BUSINESS_LIMIT_CONTROL", "触发小时级流控Permits:5"),
    "day_limit": (200, "isv.BUSINESS_LIMIT_CONTROL", "触发天级流控Permits:10"),
    "throttling": (400, "Throttling.User", "Request was denied due to user flow control."),
    "number_illegal": (200, "isv.MOBILE_NUMBER_ILLEGAL", "手机号码格式错误"),
    "balance": (200, "isv.AMOUNT_NOT_ENOUGH", "账户余额不足"),
    "server_error": (503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server."),
}
_KINDS = {*_FAULTS, "slow", "hang_up", "late"}  # late: it is delivered, and said so too late


class Vendor:
    """The vendor's state: the inbox, the nonces that were used, the faults to come."""

    def __init__(self, account: VendorAccount) -> None:
        self._account = account
        self._messages: list[dict[str, str]] = []
        self._nonces: set[str] = set()
        self._faults: list[str] = []
        self.calls = 0

    async def send_sms(self, request: Request) -> Response:
        """Answer SendSms."""
        self.calls += 1
        request_id = str(ULID())
        try:
            self._check_signature(request, await request.body())
            phone, code = self._check_message(request)
            fault = self._faults.pop(0) if self._faults else None
            if fault not in (None, "late"):
                return await _fail(fault)
        except RefusedError as refused:
            body = {"Code": refused.code, "Message": refused.message, "RequestId": request_id}
            return JSONResponse(body, status_code=refused.status)
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._messages.append({"phone": phone, "code": code, "at": at})
        if fault == "late":
            await asyncio.sleep(_SLOW_SECONDS)
        return JSONResponse({"Code": "OK", "Message": "OK", "RequestId": request_id, "BizId": str(ULID())})

    async def inbox(self, request: Request) -> Response:
        """Answer what arrived."""
        # A plus that was not escaped arrives as a blank.
        phone = request.query_params.get("phone", "").replace(" ", "+")
        return JSONResponse([message for message in self._messages if phone in ("", message["phone"])])

    async def fault(self, request: Request) -> Response:
        """Let the next calls fail, or no more."""
        if request.method == "DELETE":
            self._faults.clear()
            return Response(status_code=204)
        wanted = await request.json()
        if wanted["kind"] not in _KINDS:
            return JSONResponse({"kinds": sorted(_KINDS)}, status_code=422)
        self._faults += [wanted["kind"]] * wanted.get("times", 1)
        return Response(status_code=204)

    async def health(self, request: Request) -> Response:  # noqa: ARG002  # Starlette's signature
        """Answer that it runs, and how often it was called."""
        return JSONResponse({"calls": self.calls})

    def _check_signature(self, request: Request, body: bytes) -> None:
        """Check a request as the vendor's guide to its V3 signatures says."""
        given = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if given is None:
            raise RefusedError(400, "IncompleteSignature", "The request signature does not conform to standards.")
        if given["key"] != self._account.access_key_id:
            raise RefusedError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        signed = given["headers"].split(";")
        if not {"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce"} <= set(signed):
            raise RefusedError(400, "IncompleteSignature", "A header that must be signed is not.")
        if request.headers.get("x-acs-content-sha256") != hashlib.sha256(body).hexdigest():
            raise RefusedError(400, "SignatureDoesNotMatch", "The hash of the body is not that of the body.")
        if not hmac.compare_digest(given["signature"], self._signature(request, signed)):
            raise RefusedError(400, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")
        self._check_freshness(request)
        if (request.headers["x-acs-action"], request.headers["x-acs-version"]) != ("SendSms", "2017-05-25"):
            raise RefusedError(404, "InvalidAction.NotFound", "Specified api is not found.")

    def _signature(self, request: Request, signed: list[str]) -> str:
        query = "&".join(
            f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(request.query_params.items())
        )
        headers = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in signed)
        hashed_body = request.headers["x-acs-content-sha256"]
        canonical = "\n".join((request.method, request.url.path, query, headers, ";".join(signed), hashed_body))
        to_sign = f"{_ALGORITHM}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        return hmac.new(self._account.access_key_secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()

    def _check_freshness(self, request: Request) -> None:
        try:
            at = datetime.strptime(request.headers["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise RefusedError(400, "InvalidTimeStamp.Format", "Specified time stamp is not well formatted.") from None
        if abs(datetime.now(UTC) - at) > _FRESH:
            raise RefusedError(400, "InvalidTimeStamp.Expired", "Specified time stamp is expired.")
        nonce = request.headers["x-acs-signature-nonce"]
        if nonce in self._nonces:
            raise RefusedError(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces.add(nonce)

    def _check_message(self, request: Request) -> tuple[str, str]:
        given = request.query_params
        for name in ("PhoneNumbers", "SignName", "TemplateCode"):
            if not given.get(name):
                raise RefusedError(400, f"Missing{name}", f"{name} is mandatory for this action.")
        if given["SignName"] != self._account.sign_name:
            raise RefusedError(200, "isv.SMS_SIGNATURE_ILLEGAL", "短信签名不合法")
        if given["TemplateCode"] not in self._account.template_codes:
            raise RefusedError(200, "isv.SMS_TEMPLATE_ILLEGAL", "短信模版不合法")
        try:
            variables = json.loads(given.get("TemplateParam", ""))
        except ValueError:
            raise RefusedError(200, "isv.INVALID_JSON_PARAM", "JSON参数不合法") from None
        if not isinstance(variables, dict) or set(variables) != {"code"}:
            raise RefusedError(200, "isv.TEMPLATE_MISSING_PARAMETERS", "模版缺少变量")
        return _e164(given["PhoneNumbers"]), str(variables["code"])


def app(account: VendorAccount) -> Starlette:
    """Return the vendor as an ASGI app."""
    vendor = Vendor(account)
    return Starlette(
        routes=[
            Route("/", vendor.send_sms, methods=["POST"]),
            Route("/inbox", vendor.inbox),
            Route("/fault", vendor.fault, methods=["PUT", "DELETE"]),
            Route("/health", vendor.health),
        ]
    )


def main() -> None:
    """Serve on loopback until told to end."""
    port, configuration = int(sys.argv[1]), Path(sys.argv[2])
    account = VendorAccount.model_validate_json(configuration.read_text())
    # No access log: the vendor's requests carry codes in their query.
    uvicorn.run(app(account), host=HOST, port=port, access_log=False, timeout_graceful_shutdown=1)


class _HangUp(Response):
    """Promises a body and ends without one, whereupon uvicorn ends the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})


async def _fail(fault: str) -> Response:
    if fault == "slow":
        await asyncio.sleep(_SLOW_SECONDS)
        return JSONResponse({"Code": "OK", "Message": "OK", "RequestId": str(ULID())})
    if fault == "hang_up":
        return _HangUp()
    raise RefusedError(*_FAULTS[fault])


def _e164(number: str) -> str:
    if (chinese := _CHINESE.fullmatch(number)) is not None:
        return f"+86{chinese[2]}"
    if _FOREIGN.fullmatch(number) is not None:
        return f"+{number}"
    raise RefusedError(200, "isv.MOBILE_NUMBER_ILLEGAL", "手机号码格式错误")


if __name__ == "__main__":
    main()
