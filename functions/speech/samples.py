"""Speech as recognisers take it: 16 kHz, mono, 16 bit, 60 s, no silence around it."""

from array import array
from itertools import chain

import av
from hongyan import audio
from hongyan.audio_formats import Declared
from hongyan.errors import AudioEmpty, AudioTooLong, AudioUnreadable, AudioUnrecognisable

RATE = 16_000
LONGEST_SECONDS = 60

_BYTES_A_SECOND = RATE * 2
# Encoders pad the beginning and the end; what is behind 60 s then is silence, or not missed.
_PADDING_SECONDS = 0.5
_MOST_BYTES = int((LONGEST_SECONDS + _PADDING_SECONDS) * _BYTES_A_SECOND)

_WINDOW = RATE // 50
_KEPT_WINDOWS = 10  # 0.2 s around what is said: soft beginnings and ends of words
_NO_SOUND = 64  # of 32,767
_SILENCE_SHARE = 0.03  # of the loudest


def speech_of(data: bytes, what: Declared) -> bytes:
    """Return what is said, as samples that a recogniser takes.

    Raises:
        AudioEmpty: there is no sound in it, not even silence.
        AudioUnreadable: it is not what it is declared as, is cut off, or contradicts itself.
        AudioTooLong: it lasts longer than 60 s.
        AudioUnrecognisable: it is silent.

    """
    samples = _samples(data, what)
    if not samples:
        raise AudioEmpty
    return _without_silence(samples)


def _samples(data: bytes, what: Declared) -> bytes:
    samples = bytearray()
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    try:
        for frame in chain(audio.frames(data, what), [None]):  # None: give out what you still hold
            for part in resampler.resample(frame):
                samples += memoryview(part.planes[0])[: part.samples * 2]
            if len(samples) > _MOST_BYTES:
                raise AudioTooLong
    except ValueError as error:  # the rate or the channels change on the way
        raise AudioUnreadable from error
    return bytes(samples[: LONGEST_SECONDS * _BYTES_A_SECOND])


def _without_silence(samples: bytes) -> bytes:
    """Cut off the silence before and after what is said; pauses between words stay."""
    values = array("h", samples)
    windows = [values[at : at + _WINDOW] for at in range(0, len(values), _WINDOW)]
    peaks = [max(abs(max(window)), abs(min(window))) for window in windows]
    silence = max(_NO_SOUND, max(peaks) * _SILENCE_SHARE)
    loud = [n for n, peak in enumerate(peaks) if peak > silence]
    if not loud:
        raise AudioUnrecognisable
    first, last = max(0, loud[0] - _KEPT_WINDOWS), loud[-1] + _KEPT_WINDOWS
    return samples[first * _WINDOW * 2 : (last + 1) * _WINDOW * 2]
