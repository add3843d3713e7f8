"""Many messages in many conversations, some of them somebody's: words drawn from lists, sentences made by the database.

How often a word comes falls with its place in its list, as it does in a language. A message is three parts, and the
database draws a part from each of three pools, so hardly two messages are the same.
"""

import random
from collections.abc import Iterator
from itertools import accumulate

import sqlalchemy as sa
from hongyan.clock import now

from migrations import owner
from tests.support.people import Person

CONVERSATIONS, OF_MEMBER = 2_000, 200

_CHINESE = """
    的 我 了 你 是 不 好 在 我们 吗 就 去 今天 有 这个 明天 吧 可以 说 会 要 一下 时候 现在 没有 什么 知道 看到 大家
    公司 下午 开会 项目 时间 天气 问题 谢谢 一起 吃饭 客户 文件 准备 周末 电话 早上 晚上 孩子 朋友 北京 上海 地铁
    火车站 代码 高铁 机票 酒店 医院 学校 老师 作业 考试 合同 发票 报销 会议室 产品 设计 测试 服务器 数据库 版本 上线
    加班 请假 工资 股票 房子 装修 快递 超市 水果 咖啡 奶茶 火锅 电影 音乐 篮球 足球 游泳 爬山 旅行 照片 视频 手机 电脑
    充电器 下雨 下雪 台风 堵车 停车场 钥匙 身份证 护照 银行卡 密码 生日 快乐 恭喜 辛苦 抱歉 放心 麻烦 收到 明白 没问题
    鸿雁 茶馆 今天天气很好
"""
_LATIN = """
    ok the to you I is and for we at it on meeting please not this can have with thanks will today be are tomorrow yes
    call sure see update file review Python report team done project email link server deploy test code API check send
    weekend lunch design customer invoice budget deadline version release branch merge database question answer number
    morning evening office hotel flight ticket train station coffee dinner movie birthday happy sorry welcome holiday
    proposal projector contract sales market training keyboard screen camera battery password network printer window
    café résumé naïve Zürich
"""
_WORDS = {"chinese": _CHINESE.split(), "latin": _LATIN.split()}
# Zipf's law, the most frequent words a little less so: 的 is in a third of the messages.
_WEIGHTS = list(accumulate(1 / (place + 4) for place in range(max(map(len, _WORDS.values())))))
# What is said rarely, and never twice the same: numbers of orders, names.
_LONG_TAIL = 0.06
_FIRST_HAN, _LAST_HAN = 0x4E00, 0x9FA5

_PARTS, _PARTS_OF_EACH = 3, 4_096
_ENDS = ("", "", "", "！", "。", "?", " 😀")

_POOL = "CREATE TEMPORARY TABLE parts (part INT, number INT, text VARCHAR(200), PRIMARY KEY (part, number))"
# Five people speak in each conversation, in every tenth the member among them, for a year; one message in a thousand
# was recalled. `seq_1_to_N` is MariaDB's own table of the numbers.
_SAY = """
    INSERT INTO messages (conversation_id, seq, id, sender_id, client_id, request_hash, type, content, mentions,
                          created_at, change_seq, recalled_at, recalled_seq)
    SELECT STRAIGHT_JOIN LPAD(said.place, 26, '0'), said.seq, CONCAT('1', LPAD(said.number, 25, '0')),
           IF(said.voice = 0 AND said.place % :every = 0, :member, LPAD(said.place * 5 + said.voice, 26, 'P')),
           CONCAT('c-', said.number), REPEAT('h', 32), 'text', JSON_OBJECT('text', CONCAT(a.text, b.text, c.text)),
           '[]', DATE_SUB(:moment, INTERVAL ROUND((:size + 1 - said.seq) / :size * 365 * 86400) SECOND), said.seq,
           IF(said.number % 1000, NULL, :moment), IF(said.number % 1000, NULL, said.seq)
    FROM (SELECT n.seq AS number, 1 + (n.seq - 1) DIV :size AS place, 1 + (n.seq - 1) % :size AS seq,
                 CRC32(CONCAT('voice', n.seq)) % 5 AS voice
          FROM seq_{first}_to_{last} n) said
    JOIN parts a ON a.part = 0 AND a.number = CRC32(CONCAT('a', said.number)) % :parts
    JOIN parts b ON b.part = 1 AND b.number = CRC32(CONCAT('b', said.number)) % :parts
    JOIN parts c ON c.part = 2 AND c.number = CRC32(CONCAT('c', said.number)) % :parts
"""
_ADD_CONVERSATIONS = """
    INSERT INTO conversations (id, kind, last_seq, change_seq, last_activity_at, created_at, name, member_count)
    SELECT LPAD(n.seq, 26, '0'), 'group', :size, :size, :moment, :moment, CONCAT('group ', n.seq), 5
    FROM seq_1_to_{conversations} n
"""
# Half of the member's conversations they see whole; a quarter they joined late; in a quarter they came and left.
_JOIN = """
    INSERT INTO members (conversation_id, user_id, read_seq, own_after_read, muted, pinned, joined_at, role,
                         joined_seq, left_seq)
    SELECT LPAD(n.seq * :every, 26, '0'), :member, :size, 0, 0, 0, :moment, IF(n.seq % 4 = 3, NULL, 'member'),
           CASE n.seq % 4 WHEN 1 THEN :size DIV 2 WHEN 3 THEN :size DIV 4 ELSE 0 END,
           IF(n.seq % 4 = 3, :size * 3 DIV 4, NULL)
    FROM seq_1_to_{of_member} n
"""
# A message in each of the member's conversations.
_HIDE = """
    INSERT INTO hidden_messages (user_id, conversation_id, seq, hidden_at)
    SELECT :member, LPAD(n.seq * :every, 26, '0'), 3 * :size DIV 5, :moment FROM seq_1_to_{of_member} n
"""
_AT_ONCE = 200_000


def fill(member: Person, count: int) -> None:
    """Let ``count`` messages have been said in 2,000 conversations, of which the member is or was in 200."""
    size = count // CONVERSATIONS
    about = {
        "member": member.id,
        "moment": now().replace(tzinfo=None),
        "size": size,
        "every": CONVERSATIONS // OF_MEMBER,
        "parts": _PARTS_OF_EACH,
    }
    with owner.engine().connect() as connection:
        connection.execute(sa.text(_POOL))
        connection.execute(sa.text("INSERT INTO parts VALUES (:part, :number, :text)"), list(_pool()))
        for statement in (_ADD_CONVERSATIONS, _JOIN, _HIDE):
            sized = statement.format(conversations=CONVERSATIONS, of_member=OF_MEMBER)
            connection.execute(sa.text(sized), about)
        for first in range(1, size * CONVERSATIONS + 1, _AT_ONCE):
            last = min(first + _AT_ONCE - 1, size * CONVERSATIONS)
            connection.execute(sa.text(_SAY.format(first=first, last=last)), about)
            connection.commit()


def _pool() -> Iterator[dict[str, object]]:
    chance = random.Random(1)  # noqa: S311  # no secret, and the same corpus each time
    for part in range(_PARTS):
        for number in range(_PARTS_OF_EACH):
            text = _phrase(chance) + (chance.choice(_ENDS) if part == _PARTS - 1 else chance.choice(["", " ", "，"]))
            yield {"part": part, "number": number, "text": text}


def _phrase(chance: random.Random) -> str:
    """Return some words of one language; among the Chinese there may be a Latin one, in one of ten phrases."""
    kind = chance.choices(("chinese", "latin", "mixed"), (6, 3, 1))[0]
    language = "latin" if kind == "latin" else "chinese"
    words = [_word(chance, language) for _ in range(chance.randint(1, 4))]
    if kind == "mixed":
        words.insert(chance.randint(0, len(words)), f" {_word(chance, 'latin')} ")
    if chance.random() < _LONG_TAIL:
        words.append(_rare(chance))
    return f" {' '.join(words)} " if language == "latin" else "".join(words)


def _word(chance: random.Random, language: str) -> str:
    words = _WORDS[language]
    return chance.choices(words, cum_weights=_WEIGHTS[: len(words)])[0]


def _rare(chance: random.Random) -> str:
    if chance.random() < 0.5:  # noqa: PLR2004  # as often the one as the other
        return str(chance.randint(1_000, 99_999_999))
    return "".join(chr(chance.randint(_FIRST_HAN, _LAST_HAN)) for _ in range(3))
