"""What counts as one emoji: what the Unicode consortium recommends for general interchange (UTS 51)."""

import emoji


def one_emoji(text: str) -> str:
    """Return the emoji in its fully qualified form, so that the same picture is the same reaction.

    Raises:
        ValueError: the text is not one emoji.

    """
    if not emoji.is_emoji(text):
        raise ValueError("is not one emoji")
    return emoji.emojize(emoji.demojize(text))
