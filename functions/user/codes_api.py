"""The route that sends codes: a function of its own, as it alone pays for the vendor's SDK (contract, User)."""

from hongyan.errors import PhoneNotReachable, RateLimited, SmsUnavailable, ValidationFailed
from hongyan.web import SourceAddress, create_app, lambda_handler, problems

from functions.user import codes, sms
from functions.user.schemas import CodeRequest, SentCode

app = create_app("codes")
handler = lambda_handler(app)


@app.post(
    "/v1/verification-codes",
    status_code=202,
    responses=problems(PhoneNotReachable, RateLimited, SmsUnavailable, ValidationFailed),
)
def send_code(request: CodeRequest, address: SourceAddress) -> SentCode:
    """Send a code of 6 digits to a phone: good for 5 minutes, one use and 5 tries, for one purpose."""
    return codes.send(request, address, sms.sender())
