"""A message's text as the search index holds it, a line of words, and where in the text a question's words stand.

NFKC, letter case and accents are folded here and not by OpenSearch, so that what it finds and what is highlighted can
never differ: both look for the same phrase in the same line.

Blanks stand between the words of a line. Letters and digits end with a full stop, which no word holds: "tea. house."
has the phrase "tea." and what begins with "hou", but "te." and "tea. hou." are not in it. A comma stands where
characters that are words by themselves are told apart by punctuation: 天气 is not in 今天，气温.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from hongyan.words import Kind, kind_of

# Longer words count as several, one right after the other. The index knows words by their beginnings of up to as many
# letters, and the full stop.
LONGEST_WORD = 32

_END, _BREAK = ".", ","

# Letters that Unicode does not take apart, and that people type without their strokes and dots.
_PLAIN_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ё": "е"}
)
_LATIN_AND_GREEK = range(0x400)
_LOOSE_ACCENTS = range(0x300, 0x370)
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)

# What belongs to the character before it: accents, variation selectors, joiners, colours of skin.
_BELONGING = re.compile("[\u0300-\u036f\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]*")


class Highlight(NamedTuple):
    """A part of a text, in code points: from the one up to and without the other."""

    start: int
    end: int


class Line(NamedTuple):
    """A text as a line of words, and where in the text each character of the line stands."""

    words: str
    places: list[Highlight]


class Asked(NamedTuple):
    """A question: its words, and all of it as a phrase; each whole, or with the last of its letters still to come."""

    words: list[str]
    unfinished_words: list[str]
    phrase: str
    unfinished_phrase: str


class _Letter(NamedTuple):
    folded: str
    place: Highlight
    kind: Kind


class _Word(NamedTuple):
    letters: list[_Letter]
    gap: str  # the blanks and the punctuation before it

    @property
    def kind(self) -> Kind:
        return self.letters[0].kind

    def is_told_apart_from(self, before: "_Word") -> bool:
        """Tell whether punctuation stands between two characters that are words."""
        return self.kind == before.kind == "character" and bool(self.gap.strip(" "))


def line(text: str) -> Line:
    """Return the line of a text."""
    return _line(_words(text))


def asked(text: str) -> Asked:
    """Return the question of a text. It has no words if the text is all blanks and punctuation."""
    words = _words(text)
    # What was typed together must be found together: 天气, lei99, example.com, 10:30. Only blanks let go, and 、 or ，.
    starts = [
        number
        for number, word in enumerate(words)
        if number == 0 or " " in word.gap or word.is_told_apart_from(words[number - 1])
    ]
    lines = [_line(words[start:end]).words for start, end in pairwise([*starts, len(words)])]
    phrase = _line(words).words
    return Asked(lines, [_unfinished(words) for words in lines], phrase, _unfinished(phrase))


def highlights(text: str, question: Asked) -> list[Highlight]:
    """Return the parts of a text that answer a question, in their order; none if it does not answer all of it."""
    there = line(text)
    found: list[Highlight] = []
    for words in question.unfinished_words:
        of_words = list(_find(there, words))
        if not of_words:
            return []
        found += of_words
    return _united(text, found)


def _find(there: Line, words: str) -> Iterator[Highlight]:
    line, sought = f" {there.words}", f" {words}"
    at = line.find(sought)
    while at >= 0:
        yield Highlight(there.places[at].start, there.places[at + len(words) - 1].end)
        at = line.find(sought, at + 1)


def _united(text: str, parts: Sequence[Highlight]) -> list[Highlight]:
    united: list[Highlight] = []
    for start, end in sorted(set(parts)):
        whole = _BELONGING.match(text, end)
        until = end if whole is None else whole.end()
        if united and start <= united[-1].end:
            united[-1] = Highlight(united[-1].start, max(until, united[-1].end))
        else:
            united.append(Highlight(start, until))
    return united


def _line(words: Sequence[_Word]) -> Line:
    line: list[str] = []
    places: list[Highlight] = []

    def add(text: str, place: Highlight) -> None:
        line.append(text)
        places.extend([place] * len(text))

    for number, word in enumerate(words):
        if number > 0:
            between = f" {_BREAK} " if word.is_told_apart_from(words[number - 1]) else " "
            add(between, word.letters[0].place)
        for letter in word.letters:
            add(letter.folded, letter.place)
        if word.kind in ("letters", "digits"):
            add(_END, word.letters[-1].place)
    return Line("".join(line), places)


def _unfinished(words: str) -> str:
    return words.removesuffix(_END)


def _words(text: str) -> list[_Word]:
    words: list[_Word] = []
    gap = ""
    for letter in _letters(text):
        if letter.kind == "separator":
            gap += " " if unicodedata.category(letter.folded) == "Zs" else letter.folded
        elif words and not gap and _goes_on(words[-1], letter):
            words[-1].letters.append(letter)
        else:
            words.append(_Word([letter], gap))
            gap = ""
    return words


def _goes_on(word: _Word, letter: _Letter) -> bool:
    return letter.kind == word.kind and letter.kind in ("letters", "digits") and len(word.letters) < LONGEST_WORD


def _letters(text: str) -> Iterator[_Letter]:
    for place in _clusters(text):
        for character, kind in _folded(text[place.start : place.end]):
            yield _Letter(character, place, kind)


def _clusters(text: str) -> Iterator[Highlight]:
    """Cut text where NFKC joins nothing: a letter and its loose accent stay together, a syllable and its parts."""
    start = 0
    is_normal = unicodedata.is_normalized("NFKC", text)
    for end in range(1, len(text)):
        before, character = text[start:end], text[end]
        if is_normal or _normal(before + character) == _normal(before) + _normal(character):
            yield Highlight(start, end)
            start = end
    if text:
        yield Highlight(start, len(text))


@lru_cache(8_192)
def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


@lru_cache(8_192)
def _folded(cluster: str) -> tuple[tuple[str, Kind], ...]:
    plain = "".join(_without_accents(c) for c in _normal(cluster).casefold() if not _is_invisible(c))
    return tuple((character, kind_of(character)) for character in plain.translate(_PLAIN_LETTERS))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) == "Cf" or ord(character) in _VARIATION_SELECTORS


def _without_accents(character: str) -> str:
    """Return a Latin or Greek letter bare; elsewhere a mark makes another letter: и and й, か and が."""
    if ord(character) in _LOOSE_ACCENTS:
        return ""
    bare = unicodedata.normalize("NFD", character)[0]
    return bare if bare.isalpha() and ord(bare) in _LATIN_AND_GREEK else character
