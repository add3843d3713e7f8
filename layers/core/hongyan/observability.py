"""One logger: JSON lines with the service, the function's request and the caller's request id.

Bodies, tokens, tickets and passwords are never logged; ids are.
"""

from aws_lambda_powertools import Logger

logger = Logger()
