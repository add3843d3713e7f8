"""Who is found by what, and who is not: a cast of people, and what others would type to find them."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hongyan import stores
from hongyan.clock import now
from hongyan.ids import new_id
from hongyan.tables import users

from tests.support.deployment import Deployment
from tests.support.gateway import LambdaContext
from tests.support.people import Person
from tests.support.template import load

# Username and nickname.
CAST = {
    "zhangsan": "张三",
    "fengfeng": "张三丰",
    "sanzhang": "三张牌",
    "lisi": "李四",
    "lisi1990": "李思",
    "wang-lei": "Lei",
    "WangXiao": "王磊",
    "xm2001": "小明",
    "xm2002": "小明明",
    "xm2003": "大小明王",
    "mingxiao": "明小",
    "ouyang": "欧阳娜娜",
    "wuyifan": "欧阳修文",
    "zw-1": "Zhang Wei",
    "zw-2": "zhangwei",
    "weizhang": "Wei Zhangtian",
    "jose": "José García",
    "muller_j": "Jürgen Müller",
    "strasse": "Straßenbahn",
    "soren": "Søren",
    "alice": "Wonderland",
    "not-alice": "Alice",
    "alice-2": "Alicia Keys",
    "malice": "Malice",
    "builder_bob": "Bob the Builder",
    "jonathan": "Jonathan",
    "jon": "Jon Snow",
    "smith-john": "J. Smith",
    "night_owl": "Night Owl",
    "goose": "鸿雁 🪿",
    "panda": "🐼 Bear",
    "like": "👍🏽",
    "love": "❤️",
    "tanaka": "田中さくら",
    "yamada": "ヤマダ太郎",
    "kim": "김민준",
    "ivan": "Иван Петров",
    "big-bear": "Ｂｉｇ Ｂｅａｒ",
    "anna": "𝓐𝓷𝓷𝓪",
    "leo": "小李Leo",
    "dots": "...",
    "user-4711": "Number One",
    "user-4712": "Number Two",
    "hidden": "a\u200bb\u200bc",
}

# What is asked, who comes first and in which order, who must not come at all.
TABLE: list[tuple[str, list[str], list[str]]] = [
    # Chinese: whole, part, one character; never in another order, never "nearly".
    ("张三", ["zhangsan", "fengfeng"], ["sanzhang", "lisi"]),
    ("张三丰", ["fengfeng"], ["zhangsan"]),
    ("三丰", ["fengfeng"], ["zhangsan", "sanzhang"]),
    ("三", ["sanzhang", "zhangsan", "fengfeng"], ["lisi"]),
    ("三张", ["sanzhang"], ["zhangsan", "fengfeng"]),
    ("小明", ["xm2001", "xm2002", "xm2003"], ["mingxiao", "leo"]),
    ("明小", ["mingxiao"], ["xm2001"]),
    ("明", ["mingxiao", "xm2001", "xm2002", "xm2003"], ["leo"]),
    ("欧阳", ["ouyang", "wuyifan"], []),
    ("欧阳修武", [], ["wuyifan", "ouyang"]),
    ("娜娜", ["ouyang"], []),
    ("王", ["WangXiao", "xm2003"], []),
    ("鸿雁", ["goose"], []),
    ("小李leo", ["leo"], ["xm2001"]),
    ("李le", ["leo"], ["lisi"]),
    # Latin: beginnings of words, letter case, accents, width, ornaments.
    ("wang", ["WangXiao", "wang-lei"], ["zhangsan"]),
    ("lei", ["wang-lei"], ["WangXiao"]),
    ("WANG-LEI", ["wang-lei"], []),
    ("wanglei", ["wang-lei"], []),
    ("wang lei", ["wang-lei"], ["WangXiao"]),
    ("lei wang", ["wang-lei"], ["WangXiao"]),
    ("wangxiao", ["WangXiao"], []),
    ("jose", ["jose"], []),
    ("josé gar", ["jose"], []),
    ("garcia", ["jose"], []),
    ("muller", ["muller_j"], []),
    ("Müller", ["muller_j"], []),
    ("jurgen", ["muller_j"], []),
    ("strassenb", ["strasse"], []),
    ("soren", ["soren"], []),
    ("big bear", ["big-bear"], []),
    ("ｂｅａｒ", ["panda", "big-bear"], []),
    ("Anna", ["anna"], []),
    ("ABC", ["hidden"], []),
    ("hao", [], ["zhangsan"]),
    ("ngs", [], ["zhangsan"]),
    # Several words: all of them, in any order, together or apart.
    ("zhang wei", ["zw-2", "zw-1", "weizhang"], ["zhangsan"]),
    ("zhangwei", ["zw-2", "zw-1"], ["zhangsan"]),
    ("wei zhang", ["weizhang", "zw-1"], ["zhangsan"]),
    ("bob builder", ["builder_bob"], []),
    ("bob smith", [], ["builder_bob", "smith-john"]),
    ("night-owl", ["night_owl"], []),
    ("nightowl", ["night_owl"], []),
    # Exact username, exact nickname, beginning, part.
    ("alice", ["alice", "not-alice", "alice-2"], ["jonathan"]),
    ("alic", ["not-alice", "alice", "alice-2"], []),
    ("jon", ["jon", "jonathan"], []),
    ("john", ["smith-john"], ["jonathan"]),
    ("owl", ["night_owl"], []),
    ("bob", ["builder_bob"], []),
    # A letter wrong: swapped, missing, too many, another; not the first, not in short words, not in numbers.
    ("alcie", ["not-alice"], ["malice"]),
    ("jonathna", ["jonathan"], ["jon"]),
    ("jonnathan", ["jonathan"], ["jon"]),
    ("gracia", ["jose"], []),
    ("wnaglei", ["wang-lei"], []),
    ("buidler", ["builder_bob"], []),
    ("nigth owl", ["night_owl"], []),
    ("kin", [], ["kim"]),
    ("xonathan", [], ["jonathan"]),
    ("user-4711", ["user-4711"], ["user-4712"]),
    ("4712", ["user-4712"], ["user-4711"]),
    ("user 47", ["user-4711", "user-4712"], []),
    # Others.
    ("さくら", ["tanaka"], []),
    ("田中", ["tanaka"], []),
    ("ヤマダ", ["yamada"], []),
    ("ﾔﾏﾀﾞ", ["yamada"], []),
    ("太郎", ["yamada"], []),
    ("김민", ["kim"], []),
    ("민준", ["kim"], []),
    ("иван", ["ivan"], []),
    ("петр", ["ivan"], []),
    ("🪿", ["goose"], ["panda"]),
    ("🐼", ["panda"], ["goose"]),
    ("👍", ["like"], []),
    ("❤", ["love"], ["like"]),
    ("...", ["dots"], ["alice"]),
    ("?!", [], ["dots"]),
    ("xm", ["xm2001", "xm2002", "xm2003"], []),
    ("lisi", ["lisi", "lisi1990"], []),
    ('\\ " * ~ (', [], ["dots", "alice"]),
    ("alice* OR jon", [], ["alice", "jon"]),
]


@pytest.fixture(scope="module")
def asking(whole_deployment: Deployment) -> Iterator[Person]:
    whole_deployment.empty()
    stranger = Person.join(whole_deployment.management, "qqq")
    rows = [
        {"id": new_id(), "username": username, "nickname": nickname, "description": "", "created_at": now()}
        for username, nickname in CAST.items()
    ]
    with stores.engine().begin() as connection:
        connection.execute(sa.insert(users), rows)
    load("functions.user.reindex.handler")({"rebuild": True}, LambdaContext())
    yield stranger
    whole_deployment.drain()


@pytest.mark.parametrize(("asked", "first", "absent"), TABLE, ids=[asked for asked, _, _ in TABLE])
def test_people_are_found_by_what_others_would_type(
    asking: Person, asked: str, first: list[str], absent: list[str]
) -> None:
    answer = asking.get(f"/v1/users/search?limit=100&q={quote(asked)}")

    assert answer.status == 200, answer.text
    found = [item["username"] for item in answer.json["items"]]
    assert found[: len(first)] == first
    assert not set(found) & set(absent)
    assert len(found) <= len(first) + 3, "what is not meant is noise"
