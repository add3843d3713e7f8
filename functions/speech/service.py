"""The speech module's use cases."""

from hongyan import audio_formats, rate_limits
from hongyan.errors import SpeechUnavailable

from functions.speech import recordings, samples
from functions.speech.recognition import Language, SpeechRecognizer
from functions.speech.schemas import Recognized

# Each try is decoded, which is work; what is asked of the vendor costs money.
TRIES = rate_limits.at_most(30, 60, "recognition-tries")
RECOGNITIONS_A_DAY = rate_limits.at_most(500, 24 * 60 * 60, "recognitions")


def recognize(
    user_id: str, data: bytes, content_type: str, language: Language, recognizer: SpeechRecognizer
) -> Recognized:
    """Return what is said in a recording.

    Raises:
        UnsupportedAudio, AudioEmpty, AudioUnreadable, AudioTooLong: it is not to be recognised.
        AudioUnrecognisable: nothing is said, or it cannot be made out.
        RateLimited: too many, for the user.
        SpeechUnavailable: the vendor is out of reach; it does not count for the day.
        redis.RedisError: the limits cannot be told, so nothing is asked: each recognition costs money.

    """
    rate_limits.take(TRIES, user_id)
    return _recognize(user_id, data, content_type, language, recognizer)


def recognize_upload(user_id: str, file_id: str, language: Language, recognizer: SpeechRecognizer) -> Recognized:
    """Return what is said in a recording that the user has uploaded.

    Raises:
        FileNotFound, FileNotUsable, AudioTooLarge: as :func:`recordings.read_audio`.
        Problem: as :func:`recognize`.

    """
    rate_limits.take(TRIES, user_id)
    data, mime = recordings.read_audio(user_id, file_id)
    return _recognize(user_id, data, mime, language, recognizer)


def _recognize(
    user_id: str, data: bytes, content_type: str, language: Language, recognizer: SpeechRecognizer
) -> Recognized:
    speech = samples.speech_of(data, audio_formats.declared(content_type))
    rate_limits.take(RECOGNITIONS_A_DAY, user_id)
    try:
        return Recognized(text=recognizer.recognize(speech, language))
    except SpeechUnavailable:
        rate_limits.give_back_if_counted((RECOGNITIONS_A_DAY, user_id))
        raise
