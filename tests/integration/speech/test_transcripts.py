"""Voice messages get their transcripts: once, pushed, synced and found; and nothing that fails touches the message."""

import json
from array import array
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import boto3
import pytest
from hongyan import rate_limits, timeline
from hongyan.observability import follow
from hongyan.tables import outbox
from hongyan.unit_of_work import read

from functions.message import reindex as message_reindex
from functions.speech import recognition, transcribe
from functions.speech.recognition import Language, SpeechRecognizer
from tests.contract.emf import lines_in
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext
from tests.support.people import Person
from tests.support.recordings import MIMES, WORDS, a_voice_message, an_uploaded, converted, spoken, waved

People = Callable[[str], Person]
Calls = Callable[[], dict[str, int]]
Fail = Callable[..., None]

pytestmark = pytest.mark.usefixtures("bucket")


class Talk(NamedTuple):
    """Two friends, and where they talk."""

    alice: Person
    bob: Person
    id: str
    deployment: Deployment

    def say(self, recording: bytes | None = None, mime: str = "audio/wav", **content: Any) -> int:
        """Let Alice send a recording; return its seq."""
        file_id = an_uploaded(spoken() if recording is None else recording, self.alice, mime=mime)
        return a_voice_message(self.alice, self.id, file_id, mime=mime, **content)

    def transcribe(self) -> list[str]:
        """Let the function do what is on its queue; return the records that failed."""
        return self.deployment.transcribing.work()

    def message(self, seq: int = 1) -> dict[str, Any]:
        shown: dict[str, Any] = self.bob.history(self.id)[seq - 1]
        return shown

    def transcript(self, seq: int = 1) -> Any:
        return self.message(seq)["content"]["transcript"]


@pytest.fixture
def talk(deployment: Deployment, person: People) -> Talk:
    alice, bob = person("alice"), person("bob")
    return Talk(alice, bob, alice.befriend(bob), deployment)


def events(seq: int, deployment: Deployment) -> list[str]:
    """Return what was announced of a message."""
    bodies = [json.loads(record["body"]) for record in deployment.queued()]
    return [body["type"] for body in bodies if body["data"].get("message", {}).get("seq") == seq]


# ---------------------------------------------------------------- the transcript


@pytest.mark.parametrize(("kind", "rate"), [("wav", 16_000), ("m4a", 44_100), ("mp3", 44_100), ("opus", 48_000)])
def test_a_voice_message_gets_its_transcript(talk: Talk, kind: str, rate: int) -> None:
    talk.say(converted(spoken(), kind, rate), MIMES[kind])

    assert talk.transcribe() == []

    assert talk.transcript() == WORDS


def test_the_rest_of_the_message_stays_as_it_was(talk: Talk) -> None:
    talk.say(duration_ms=1_234, name="語音.wav", size=99)
    before = talk.message()

    talk.transcribe()

    after = talk.message()
    assert after["change_seq"] == before["change_seq"] + 1
    assert after == {
        **before,
        "change_seq": after["change_seq"],
        "content": {**before["content"], "transcript": WORDS},
    }


def test_only_voice_messages_come_to_be_transcribed(talk: Talk) -> None:
    talk.alice.say(talk.id, "a text")

    assert talk.deployment.transcribing.queued() == []


def test_the_other_devices_are_told_by_message_updated(talk: Talk) -> None:
    socket = talk.bob.connect()
    talk.say()
    talk.transcribe()

    talk.deployment.push()

    [updated] = [event for event in socket.events if event["type"] == "message.updated"]
    assert updated["data"]["message"]["content"]["transcript"] == WORDS


def test_what_caused_the_voice_message_caused_its_transcript(talk: Talk) -> None:
    follow("request-of-the-voice")
    talk.say()
    follow()
    talk.transcribe()

    bodies = [json.loads(record["body"]) for record in talk.deployment.queued()]
    [updated] = [body for body in bodies if body["type"] == "message.updated"]
    assert updated["correlation_id"] == "request-of-the-voice"


def test_sync_tells_it_to_who_was_away(talk: Talk) -> None:
    talk.say()
    cursor = talk.bob.get("/v1/sync").json["next_cursor"]
    talk.transcribe()

    [message] = talk.bob.get(f"/v1/sync?cursor={cursor}").json["messages"]

    assert message["content"]["transcript"] == WORDS


def test_search_finds_it_by_what_was_said_and_no_more_once_it_is_recalled(talk: Talk) -> None:
    message_reindex.handler({"rebuild": True}, LambdaContext())
    talk.say()
    talk.transcribe()
    assert talk.deployment.message_indexing.work() == []

    found = talk.bob.get("/v1/messages/search?q=friends&type=voice").json["items"]
    assert [item["message"]["content"]["transcript"] for item in found] == [WORDS]
    assert [WORDS[part["start"] : part["end"]] for part in found[0]["highlights"]] == ["friends"]

    talk.alice.post(f"/v1/conversations/{talk.id}/messages/1/recall")
    assert talk.deployment.message_indexing.work() == []
    assert talk.bob.get("/v1/messages/search?q=friends").json["items"] == []


def test_what_has_no_transcript_yet_can_be_indexed_and_is_not_found(talk: Talk) -> None:
    message_reindex.handler({"rebuild": True}, LambdaContext())
    talk.say()

    assert talk.deployment.message_indexing.work() == []

    assert talk.bob.get("/v1/messages/search?q=friends").json["items"] == []


# ---------------------------------------------------------------- once


def test_the_same_event_twice_makes_one_transcript(talk: Talk, calls: Calls) -> None:
    talk.say()
    [record] = talk.deployment.transcribing.queued()
    talk.deployment.transcribing.invoke([record])
    before, asked = talk.message(), calls()
    talk.deployment.drain()

    assert talk.deployment.transcribing.invoke([record]) == {"batchItemFailures": []}

    assert talk.message() == before
    assert calls() == asked
    assert events(1, talk.deployment) == []


def test_of_two_that_transcribe_at_once_one_writes(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second transcribes the whole message while the first waits for the vendor."""
    talk.say()
    [record] = talk.deployment.transcribing.queued()
    real = recognition.recognizer()

    class Overtaken:
        def recognize(self, speech: bytes, language: Language) -> str:
            text = real.recognize(speech, language)
            monkeypatch.setattr(recognition, "recognizer", lambda: real)
            talk.deployment.transcribing.invoke([record])
            return f"late: {text}"

    first: SpeechRecognizer = Overtaken()
    monkeypatch.setattr(recognition, "recognizer", lambda: first)
    talk.deployment.drain()

    assert talk.deployment.transcribing.invoke([record]) == {"batchItemFailures": []}

    assert talk.transcript() == WORDS
    assert events(1, talk.deployment) == ["message.updated"]


def test_what_was_forwarded_with_its_transcript_is_not_transcribed_again(talk: Talk, calls: Calls) -> None:
    talk.say(transcript="said before")
    before = calls()

    assert talk.transcribe() == []

    assert talk.transcript() == "said before"
    assert calls() == before


def test_what_was_recalled_before_is_not_listened_to(talk: Talk, calls: Calls) -> None:
    talk.say()
    talk.alice.post(f"/v1/conversations/{talk.id}/messages/1/recall")
    before = calls()

    assert talk.transcribe() == []

    assert talk.message()["content"] == {}
    assert calls() == before


def test_what_is_recalled_meanwhile_stays_empty(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    talk.say()
    [record] = talk.deployment.transcribing.queued()

    class TooLate:
        def recognize(self, _speech: bytes, _language: Language) -> str:
            talk.alice.post(f"/v1/conversations/{talk.id}/messages/1/recall")
            talk.deployment.drain()
            return "what nobody shall read"

    recognizer: SpeechRecognizer = TooLate()
    monkeypatch.setattr(recognition, "recognizer", lambda: recognizer)

    assert talk.deployment.transcribing.invoke([record]) == {"batchItemFailures": []}

    assert talk.message()["content"] == {}
    assert events(1, talk.deployment) == []


def test_the_transcript_goes_with_a_message_that_is_recalled_after(talk: Talk) -> None:
    talk.say()
    talk.transcribe()

    talk.alice.post(f"/v1/conversations/{talk.id}/messages/1/recall")

    assert talk.message()["content"] == {}


# ---------------------------------------------------------------- what cannot be made out


@pytest.mark.parametrize(
    "recording",
    [
        spoken("今天天气很好", "cmn")[:4_000],
        waved(array("h", bytes(64_000))),
        b"no audio at all",
        waved(array("h")),
    ],
    ids=["a syllable", "silence", "text", "nothing"],
)
def test_what_says_nothing_gets_an_empty_transcript_and_is_done(talk: Talk, recording: bytes) -> None:
    talk.say(recording)

    assert talk.transcribe() == []

    assert talk.transcript() == ""


def test_what_the_vendor_cannot_read_gets_an_empty_transcript_and_is_done(talk: Talk, speech_fault: Fail) -> None:
    talk.say()
    speech_fault("err_no", 3309)

    assert talk.transcribe() == []

    assert talk.transcript() == ""


# ---------------------------------------------------------------- failures


def test_a_vendor_that_is_away_leaves_the_message_as_it_is_and_the_record_on_the_queue(
    talk: Talk, speech_fault: Fail
) -> None:
    talk.say()
    before = talk.message()
    speech_fault("status", 503, times=4)
    [record] = talk.deployment.transcribing.queued()

    answer = talk.deployment.transcribing.invoke([record])

    assert answer == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    assert talk.message() == before
    assert talk.deployment.transcribing.invoke([record]) == {"batchItemFailures": []}
    assert talk.transcript() == WORDS


def test_each_try_is_counted_as_made_or_failed(
    talk: Talk, speech_fault: Fail, capsys: pytest.CaptureFixture[str]
) -> None:
    talk.say()
    [record] = talk.deployment.transcribing.queued()
    speech_fault("status", 503, times=4)
    capsys.readouterr()

    talk.deployment.transcribing.invoke([record])
    talk.deployment.transcribing.invoke([record])
    talk.deployment.transcribing.invoke([record])  # once more, which finds nothing to do

    counted = [line.values for line in lines_in(capsys.readouterr().out)]
    assert counted == [{"TranscriptsFailed": [1.0]}, {"TranscriptsMade": [1.0]}]


def test_one_that_fails_does_not_hold_up_another(talk: Talk) -> None:
    talk.say()
    talk.say()
    lost = talk.message(1)["content"]["file_id"]
    boto3.client("s3").delete_object(Bucket="files", Key=f"voice/{lost}")
    records = talk.deployment.transcribing.queued()
    of_lost = [r for r in records if json.loads(r["body"])["data"]["message"]["seq"] == 1]

    answer = talk.deployment.transcribing.invoke(records)

    assert answer == {"batchItemFailures": [{"itemIdentifier": of_lost[0]["messageId"]}]}
    assert (talk.transcript(1), talk.transcript(2)) == (None, WORDS)


@pytest.mark.parametrize("body", ["", "{}", "no event"])
def test_a_record_that_is_no_event_ends_with_the_dead_letters(talk: Talk, body: str) -> None:
    talk.say()
    [record] = talk.deployment.transcribing.queued()

    answer = talk.deployment.transcribing.invoke([{**record, "body": body}])

    assert answer == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}


def test_without_redis_it_waits_as_each_recognition_costs_money(
    talk: Talk, without_redis: Callable[[], AbstractContextManager[None]], calls: Calls
) -> None:
    talk.say()
    [record] = talk.deployment.transcribing.queued()
    before = calls()

    with without_redis():
        answer = talk.deployment.transcribing.invoke([record])

    assert answer["batchItemFailures"]
    assert calls() == before


def test_what_dies_between_the_vendor_and_the_commit_is_transcribed_the_next_time(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.say()
    [record] = talk.deployment.transcribing.queued()
    with monkeypatch.context() as patch:
        patch.setattr(timeline, "about", _die)
        assert talk.deployment.transcribing.invoke([record])["batchItemFailures"]
    assert talk.transcript() is None
    assert read(lambda connection: connection.execute(outbox.select()).all()) == []

    talk.deployment.transcribing.invoke([record])

    assert talk.transcript() == WORDS


def _die(*_: object) -> None:
    raise MemoryError


# ---------------------------------------------------------------- the daily share


def test_who_has_had_their_share_of_the_day_sends_without_transcripts(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, calls: Calls
) -> None:
    monkeypatch.setattr(transcribe, "TRANSCRIPTS_A_DAY", rate_limits.at_most(1, 86_400, "transcripts"))
    talk.say()
    talk.transcribe()
    before = calls()
    talk.say()

    assert talk.transcribe() == []

    assert (talk.transcript(1), talk.transcript(2)) == (WORDS, None)
    assert calls() == before


def test_a_try_that_failed_does_not_count_for_the_share(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, speech_fault: Fail
) -> None:
    monkeypatch.setattr(transcribe, "TRANSCRIPTS_A_DAY", rate_limits.at_most(1, 86_400, "transcripts"))
    talk.say()
    [record] = talk.deployment.transcribing.queued()
    speech_fault("err_no", 3305)
    assert talk.deployment.transcribing.invoke([record])["batchItemFailures"]

    talk.deployment.transcribing.invoke([record])

    assert talk.transcript() == WORDS
