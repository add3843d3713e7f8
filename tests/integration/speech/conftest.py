"""The speech vendor's stand-in, told what to do; and the bucket of recordings."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from functions.speech.recognition import SpeechAccount
from local.stack import Stack


@pytest.fixture
def account(engines: Stack) -> SpeechAccount:
    return SpeechAccount.model_validate(engines.speech_account)


@pytest.fixture
def calls(engines: Stack) -> Callable[[], dict[str, int]]:
    """Tell how often the vendor was asked."""

    def count() -> dict[str, int]:
        counted: dict[str, int] = httpx.get(f"{engines.speech_url}/health").json()
        return counted

    return count


@pytest.fixture
def speech_fault(engines: Stack) -> Iterator[Callable[..., None]]:
    """Let the speech vendor fail at its next calls."""
    url = f"{engines.speech_url}/fault"

    def fail(kind: str, number: int = 0, **more: object) -> None:
        httpx.put(url, json={"kind": kind, "number": number, **more}).raise_for_status()

    yield fail
    httpx.delete(url).raise_for_status()


@pytest.fixture
def forget_tokens(engines: Stack) -> Callable[[], None]:
    """Let the vendor take no token that it gave so far."""

    def forget() -> None:
        httpx.delete(f"{engines.speech_url}/tokens").raise_for_status()

    return forget
