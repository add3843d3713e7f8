"""What is found by what, and what is not: things that people said, and what others would type to find them."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hongyan.ids import new_id

from functions.message import message_index
from functions.message.search_repository import Readable
from tests.support.cache import lose_cache
from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext
from tests.support.people import Person
from tests.support.template import load

# In the order in which it was said.
SAID = {
    "weather": "今天天气很好，我们去公园吧",
    "cold": "今天，气温很低",
    "spaced": "今 天 气 很",
    "forecast": "天气预报说明天下雨",
    "beijing": "我爱北京天安门",
    "reversed": "京北高速堵车",
    "meeting": "明天下午3点开会，请带上Q3报告.pdf",
    "zhangsan": "@张三 你看到了吗",
    "names": "张三、李四、王五都来",
    "traditional": "鴻雁於飛，肅肅其羽",
    "rare": "𠮷野家的牛肉飯",
    "mixed": "用Python写了一个API接口",
    "pangu": "用 Python 写代码",
    "iphone": "iPhone 15 Pro Max 很贵",
    "iphone-together": "买了iphone15",
    "wide": "ＡＢＣ１２３　全角",
    "katakana": "カタカナとひらがな",
    "half-kana": "ﾊﾝｶｸのﾃｷｽﾄ",
    "sushi": "今日はお寿司を食べました",
    "dakuten": "がっこう",
    "korean": "내일 김민준 씨를 만나요",
    "korean-parts": "안녕하세요 여러분",
    "hello": "Hello, World! How are you?",
    "hello-world-apart": "The world says hello",
    "help": "Please help me",
    "cafe": "Un café à Zürich, s'il vous plaît",
    "decomposed": "re\u0301sume\u0301 attached",
    "strasse": "Straße nach Gießen",
    "ascii-strasse": "STRASSE",
    "nordic": "Smørrebrød på Łódź",
    "greek": "Καλημέρα κόσμε",
    "russian": "Привет, мой друг",
    "russian-my": "мои друзья",
    "yolka": "ёлка",
    "hindi": "नमस्ते दुनिया",
    "arabic": "مرحبا بالعالم",
    "goose": "飞得好高🪿🪿",
    "thumb": "great 👍🏽",
    "heart": "❤️ you",
    "family": "👨\u200d👩\u200d👧 weekend",
    "flag": "🇨🇳加油",
    "phone": "打我电话 13800138000",
    "price": "It costs $3.14 or ¥20",
    "version": "upgrade to 31.145 now",
    "date": "2026-11-23 10:30 ok",
    "url": "see https://www.example.com/docs/index.html?page=2#top",
    "examples": "many examples communicate",
    "mail": "write to leo.wang@mail.example.org",
    "code": "def main(): return x_1 + y",
    "cpp": "C++ or C#",
    "path": r"C:\Users\leo\notes.txt",
    "quotes": 'he said "never mind" twice',
    "star": "5* hotel",
    "dots": "......",
    "lines": "first line\nsecond line",
    "zero-width": "pass\u200bword",
    "ornaments": "𝓗𝓪𝓹𝓹𝔂 birthday",
    "ligature": "eﬃcient ﬁle",
    "long": "a" * 40 + "bc",
    "script": "<script>alert('x')</script>",
    "sql": "' OR 1=1 --",
    "cheap": "便宜的东西",
    "east": "东边的西瓜",
    "kelvin": "㎏ and ½",
}

# What is asked, what comes first and in which order, what must not come at all.
TABLE: list[tuple[str, list[str], list[str]]] = [
    # Chinese: one character, words of two, longer ones; never in another order, never across punctuation.
    ("雁", ["traditional"], []),
    ("肅", ["traditional"], []),
    ("爱", ["beijing"], ["weather"]),
    ("天气", ["forecast", "spaced", "weather"], ["cold", "beijing"]),
    ("气温", ["cold"], ["weather"]),
    ("今天", ["spaced", "cold", "weather"], ["sushi", "forecast"]),
    ("今天天气", ["weather"], ["cold"]),
    ("北京", ["beijing"], ["reversed"]),
    ("京北", ["reversed"], ["beijing"]),
    ("天安门", ["beijing"], []),
    ("北京 天安门", ["beijing"], []),
    ("天安门 北京", ["beijing"], []),
    ("北京上海", [], ["beijing"]),
    ("去公园吧", ["weather"], []),
    ("明天下", ["forecast", "meeting"][::-1], []),
    ("张三", ["names", "zhangsan"], []),
    ("张三、李四", ["names"], ["zhangsan"]),
    ("李四 张三", ["names"], ["zhangsan"]),
    ("三李", [], ["names"]),
    ("东西", ["cheap"], ["east"]),
    ("𠮷", ["rare"], []),
    ("𠮷野", ["rare"], []),
    # Mixed scripts: together or apart.
    ("用python写", ["pangu", "mixed"], []),
    ("Python 写", ["pangu", "mixed"], []),
    ("api接口", ["mixed"], []),
    ("iphone15", ["iphone-together", "iphone"], []),
    ("iphone 15", ["iphone-together", "iphone"], []),
    ("q3报告", ["meeting"], []),
    ("3点", ["meeting"], ["price"]),
    ("报告.pdf", ["meeting"], []),
    # Width.
    ("abc123", ["wide"], []),
    ("ａｂｃ", ["wide"], []),
    ("ＨＥＬＬＯ", ["hello-world-apart", "hello"], []),
    ("全角", ["wide"], []),
    # Japanese and Korean.
    ("カタカナ", ["katakana"], []),
    ("タカ", ["katakana"], []),
    ("ﾀｶ", ["katakana"], []),
    ("ハンカク", ["half-kana"], []),
    ("ひらがな", ["katakana"], []),
    ("寿司", ["sushi"], []),
    ("食べ", ["sushi"], []),
    ("かっこう", [], ["dakuten"]),
    ("がっこう", ["dakuten"], []),
    ("민준", ["korean"], []),
    ("김민준", ["korean"], []),
    ("녕하", ["korean-parts"], []),
    ("안녕", ["korean-parts"], ["korean"]),
    # Latin and other alphabets: whole words and beginnings, letter case, accents.
    ("hello", ["hello-world-apart", "hello"], ["help"]),
    ("HELLO", ["hello-world-apart", "hello"], ["help"]),
    ("hel", ["help", "hello-world-apart", "hello"][::1], []),
    ("ello", [], ["hello"]),
    ("hello world", ["hello", "hello-world-apart"], []),
    ("world hello", ["hello-world-apart", "hello"], []),
    ("hello wor", ["hello", "hello-world-apart"], []),
    ("wor hel", ["hello-world-apart", "hello"], []),
    ("hello there", [], ["hello"]),
    ("cafe", ["cafe"], []),
    ("CAFÉ", ["cafe"], []),
    ("zurich", ["cafe"], []),
    ("s'il", ["cafe"], []),
    ("resume", ["decomposed"], []),
    ("résumé", ["decomposed"], []),
    ("strasse", ["ascii-strasse", "strasse"], []),
    ("straße", ["ascii-strasse", "strasse"], []),
    ("smorrebrod", ["nordic"], []),
    ("lodz", ["nordic"], []),
    ("καλημερα", ["greek"], []),
    ("ПРИВЕТ", ["russian"], []),
    ("мой", ["russian"], ["russian-my"]),
    ("елка", ["yolka"], []),
    ("नमस्ते", ["hindi"], []),
    ("مرحبا", ["arabic"], []),
    ("happy", ["ornaments"], []),
    ("efficient", ["ligature"], []),
    ("file", ["ligature"], []),
    ("password", ["zero-width"], []),
    ("a" * 40, ["long"], []),
    ("a" * 42, [], ["long"]),
    # Emoji.
    ("🪿", ["goose"], []),
    ("🪿🪿", ["goose"], []),
    ("🪿🪿🪿", [], ["goose"]),
    ("👍", ["thumb"], []),
    ("👍🏽", ["thumb"], []),
    ("👍🏻", [], ["thumb"]),
    ("❤", ["heart"], []),
    ("❤️", ["heart"], []),
    ("👨\u200d👩\u200d👧", ["family"], []),
    ("🇨🇳", ["flag"], []),
    ("🇨🇦", [], ["flag"]),
    # Numbers.
    ("13800138000", ["phone"], []),
    ("138", ["phone"], []),
    ("8000", [], ["phone"]),
    ("3.14", ["price"], ["version"]),
    ("$3.14", ["price"], []),
    ("¥20", ["price"], []),
    ("2026-11-23", ["date"], []),
    ("10:30", ["date"], []),
    ("½", ["kelvin"], []),
    ("kg", ["kelvin"], []),
    # Addresses, code, punctuation: taken to the letter.
    ("https://www.example.com/docs/index.html?page=2#top", ["url"], []),
    ("example.com", ["url"], ["examples", "mail"]),
    ("www.example", ["url"], ["mail"]),
    ("leo.wang@mail.example.org", ["mail"], []),
    ("@mail", ["mail"], []),
    ("main()", ["code"], []),
    ("x_1", ["code"], []),
    ("c++", ["cpp"], []),
    ("+ +", ["cpp"], []),
    (r"C:\Users", ["path"], []),
    ('"never mind"', ["quotes"], []),
    ("never AND mind", [], ["quotes"]),
    ("nev*", ["quotes"], []),
    ("n*r", [], ["quotes"]),
    ("hello OR help", [], ["hello", "help"]),
    ("-hello", ["hello-world-apart", "hello"], []),
    ("5*", ["date", "star"][1:], []),
    ("line second", ["lines"], []),
    ("<script>", ["script"], []),
    ("' OR 1=1 --", ["sql"], []),
    ("*", [], list(SAID)),
    ("......", [], list(SAID)),
    ('"', [], list(SAID)),
    ("？！", [], list(SAID)),
]


@pytest.fixture(scope="module")
def asking(whole_deployment: Deployment) -> Iterator[tuple[Person, dict[str, str]]]:
    whole_deployment.empty()
    alice, bob = (Person.join(whole_deployment.management, name) for name in ("alice", "bob"))
    conversation = alice.befriend(bob)
    names = {alice.say(conversation, text).json["id"]: name for name, text in SAID.items()}
    load("functions.message.reindex.handler")({"rebuild": True}, LambdaContext())
    yield bob, names
    whole_deployment.drain()


@pytest.mark.parametrize(("asked", "first", "absent"), TABLE, ids=[asked for asked, _, _ in TABLE])
def test_messages_are_found_by_what_others_would_type(
    asking: tuple[Person, dict[str, str]], asked: str, first: list[str], absent: list[str]
) -> None:
    bob, names = asking
    lose_cache()  # which counts how often somebody searches

    answer = bob.get(f"/v1/messages/search?limit=100&q={quote(asked)}")

    assert answer.status == 200, answer.text
    found = [names[item["message"]["id"]] for item in answer.json["items"]]
    assert found[: len(first)] == first
    assert not set(found) & set(absent)
    assert len(found) <= len(first) + 3, "what is not meant is noise"
    for item in answer.json["items"]:
        text = item["message"]["content"]["text"]
        assert item["highlights"]
        assert all(0 <= part["start"] < part["end"] <= len(text) for part in item["highlights"])


def test_the_engine_finds_nothing_that_has_no_highlight(asking: tuple[Person, dict[str, str]]) -> None:
    """Both go by the same line of words: what the engine finds and Python does not would only cost rounds."""
    bob, names = asking
    [conversation] = [c["id"] for c in bob.get("/v1/conversations").json["items"]]
    place = Readable(conversation, 0, None)

    for asked, _, _ in TABLE:
        lose_cache()
        wanted = message_index.Wanted(asked, "relevance")
        hits = [hit.id for hit in message_index.search(wanted, [place], None, 100)]
        shown = bob.get(f"/v1/messages/search?limit=100&q={quote(asked)}").json["items"]
        assert [names[i] for i in hits] == [names[item["message"]["id"]] for item in shown], asked


def test_who_is_in_more_conversations_than_a_query_can_name_finds_what_is_said_in_the_last_of_them(
    asking: tuple[Person, dict[str, str]],
) -> None:
    bob, names = asking
    [conversation] = [c["id"] for c in bob.get("/v1/conversations").json["items"]]
    places = [Readable(new_id(), 0, None) for _ in range(65_536)] + [Readable(conversation, 0, None)]

    hits = message_index.search(message_index.Wanted("天安门", "relevance"), places, None, 100)

    assert [names[hit.id] for hit in hits] == ["beijing"]
