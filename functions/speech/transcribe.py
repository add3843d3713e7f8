"""The consumer of voice messages: each is transcribed once, and the transcript becomes a part of it.

A record comes again until its message is settled: it has a transcript (perhaps an empty one, when nothing can be made
out), was recalled, or its sender has had enough transcribed for the day. The message itself never waits for any of it.
"""

from typing import Any, NamedTuple

from hongyan import audio_formats, findings, metrics, rate_limits
from hongyan.batches import PartialItemFailureResponse, SQSRecord, settle_each
from hongyan.errors import (
    AudioEmpty,
    AudioTooLarge,
    AudioTooLong,
    AudioUnreadable,
    AudioUnrecognisable,
    RateLimited,
    UnsupportedAudio,
)
from hongyan.events import Event
from hongyan.metrics import Metric
from hongyan.observability import follow, logger
from hongyan.unit_of_work import perform, read

from functions.speech import recognition, recordings, samples
from functions.speech.recognition import SpeechRecognizer

TRANSCRIPTS_A_DAY = rate_limits.at_most(200, 24 * 60 * 60, "transcripts")

_NOT_FOR_THE_RECOGNISER = (AudioEmpty, AudioTooLarge, AudioTooLong, AudioUnreadable, UnsupportedAudio)


class _Voice(NamedTuple):
    """A voice message that wants a transcript."""

    conversation_id: str
    seq: int
    sender_id: str
    file_id: str
    mime: str


@logger.inject_lambda_context(clear_state=True)
@metrics.emitted
def handler(event: dict[str, Any], context: Any) -> PartialItemFailureResponse:  # noqa: ARG001  # Lambda's signature
    """Transcribe what a batch refers to, and answer for each record alone: what failed comes again."""
    return settle_each(event, _settle)


def _settle(record: SQSRecord) -> None:
    event = Event.model_validate_json(record.body)
    follow(event.correlation_id)
    for conversation_id, seq in event.references():
        voice = _find(conversation_id, seq)
        if voice is not None:
            transcribe(voice, recognition.recognizer())


def transcribe(voice: _Voice, recognizer: SpeechRecognizer) -> None:
    """Let a message have its transcript, unless its sender has had their share of the day.

    Raises:
        FileNotFound: the recording is gone.
        SpeechUnavailable: the vendor is out of reach; it does not count for the day.
        redis.RedisError: the share cannot be told, so nothing is asked: each recognition costs money.

    """
    share = (TRANSCRIPTS_A_DAY, voice.sender_id)
    try:
        rate_limits.take(*share)
    except RateLimited:
        logger.info("a voice message stays without transcript", conversation_id=voice.conversation_id, seq=voice.seq)
        return
    try:
        text = _text(voice, recognizer)
    except Exception as error:
        rate_limits.give_back_if_counted(share)
        metrics.count(Metric.TRANSCRIPTS_FAILED)
        logger.warning("a voice message waits", conversation_id=voice.conversation_id, kind=type(error).__name__)
        raise
    perform(lambda unit: findings.add(unit, voice.conversation_id, voice.seq, voice.sender_id, "transcript", text))
    metrics.count(Metric.TRANSCRIPTS_MADE)


def _text(voice: _Voice, recognizer: SpeechRecognizer) -> str:
    """Return what is said, and nothing if nobody speaks or nothing can be made out."""
    try:
        speech = samples.speech_of(recordings.fetch(voice.file_id), audio_formats.declared(voice.mime))
        return _recognized(speech, recognizer)
    except AudioUnrecognisable:
        return ""
    except _NOT_FOR_THE_RECOGNISER as problem:
        logger.warning("a voice message cannot be read", conversation_id=voice.conversation_id, code=problem.code)
        return ""


def _recognized(speech: bytes, recognizer: SpeechRecognizer) -> str:
    """Return what is said, in whichever language.

    Nobody tells which they speak. Mandarin comes first, as most do, and its model knows some English; what it cannot
    make out at all is tried as English.
    """
    try:
        return recognizer.recognize(speech, "zh")
    except AudioUnrecognisable:
        return recognizer.recognize(speech, "en")


def _find(conversation_id: str, seq: int) -> _Voice | None:
    row = read(lambda connection: findings.find_message(connection, conversation_id, seq))
    if row is None or not _wants_transcript(row):
        return None
    return _Voice(conversation_id, seq, row.sender_id, row.content["file_id"], row.content["mime"])


def _wants_transcript(row: findings.Row) -> bool:
    return row.type == "voice" and findings.lacks(row, "transcript")
