"""What a word is to the search indices: text is cut here, the same for what is indexed and for what is asked.

Not in OpenSearch, whose plain distribution can neither split every writing into characters nor normalise Unicode.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import Literal

Kind = Literal["character", "letters", "digits", "symbol", "separator"]

# Scripts that are written without blanks between words: each character is a word, and a part of a text is a phrase.
_CHARACTER_IS_WORD = re.compile(
    "[\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"  # iteration marks, kana
    "\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # bopomofo, small kana
    "\u1100-\u11ff\uac00-\ud7a3"  # Hangul
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # Han
)
_KINDS: dict[str, Kind] = {"L": "letters", "M": "letters", "N": "digits", "S": "symbol"}
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f]")


def folded(text: str) -> str:
    """Return text with one form for each character, full-width and ornamental letters too, and nothing invisible."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return _VARIATION_SELECTORS.sub("", visible).strip()


def words(text: str) -> list[str]:
    """Cut text at blanks and punctuation; inside a word, blanks stand where letters, digits and characters meet."""
    separated = "".join(c if kind_of(c) != "separator" else " " for c in folded(text))
    return [" ".join(_pieces(word)) for word in separated.split()]


def kind_of(character: str) -> Kind:
    """Tell what a character is a part of: of a word of its kind, or, alone, one itself; or what stands between."""
    if _CHARACTER_IS_WORD.match(character):
        return "character"
    category = unicodedata.category(character)
    if category == "Cn":  # perhaps an emoji that this Python does not know yet
        return "symbol"
    return _KINDS.get(category[0], "separator")


def _pieces(word: str) -> Iterator[str]:
    for kind, characters in groupby(word, kind_of):
        if kind in ("letters", "digits"):
            yield "".join(characters)
        else:
            yield from characters
