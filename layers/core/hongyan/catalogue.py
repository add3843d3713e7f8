"""The words of every problem in the languages that Hongyan speaks, by code; ``Accept-Language`` chooses."""

from typing import Literal, NamedTuple

Language = Literal["en", "zh"]


class Words(NamedTuple):
    """A short title, the same for every occurrence, and a sentence that says what to do."""

    title: str
    detail: str


def language_of(accept_language: str | None) -> Language:
    """Choose between ``zh`` and ``en`` (default) by an ``Accept-Language`` header (RFC 9110, 12.5.4).

    >>> language_of("fr, zh-CN;q=0.8, en;q=0.5")
    'zh'
    """
    ranked = [_ranked(part) for part in (accept_language or "").split(",")]
    for _, name in sorted((entry for entry in ranked if entry[0] > 0), key=lambda entry: -entry[0]):
        if name.startswith("zh"):
            return "zh"
        if name.startswith("en"):
            return "en"
    return "en"


def _ranked(part: str) -> tuple[float, str]:
    name, _, parameter = part.partition(";")
    _, _, weight = parameter.partition("=")
    try:
        return float(weight or 1), name.strip().lower()
    except ValueError:
        return 0.0, ""


CATALOGUE: dict[str, dict[Language, Words]] = {
    "malformed_json": {
        "en": Words("Malformed JSON", "The body is not valid JSON in UTF-8."),
        "zh": Words("JSON 格式错误", "请求体不是有效的 UTF-8 JSON。"),
    },
    "invalid_cursor": {
        "en": Words("Invalid cursor", "The cursor is not one that this list gave you. Start again without it."),
        "zh": Words("游标无效", "该游标不是此列表返回给您的。请不带游标重新开始。"),
    },
    "invalid_frame": {
        "en": Words("Invalid frame", "A frame is one JSON object in text."),
        "zh": Words("帧无效", "每一帧必须是一个文本形式的 JSON 对象。"),
    },
    "frame_too_large": {
        "en": Words("Frame too large", "A frame holds at most 32 KiB."),
        "zh": Words("帧过大", "每一帧最多 32 KiB。"),
    },
    "unknown_action": {
        "en": Words("Unknown action", "The frame's action is not one that this API knows."),
        "zh": Words("未知操作", "该帧的 action 不在本接口支持之列。"),
    },
    "token_invalid": {
        "en": Words(
            "Not signed in", "The access token is missing, not valid, or its session has ended. Refresh it or log in."
        ),
        "zh": Words("未登录", "访问令牌缺失、无效，或会话已结束。请刷新令牌或重新登录。"),
    },
    "credentials_invalid": {
        "en": Words("Wrong username or password", "The username or the password is not right."),
        "zh": Words("用户名或密码错误", "用户名或密码不正确。"),
    },
    "refresh_token_invalid": {
        "en": Words("Refresh token not valid", "The refresh token is not valid any more. Log in again."),
        "zh": Words("刷新令牌无效", "刷新令牌已失效。请重新登录。"),
    },
    "refresh_token_reused": {
        "en": Words(
            "Refresh token used twice", "The refresh token was used before, so its session was ended. Log in again."
        ),
        "zh": Words("刷新令牌被重复使用", "该刷新令牌此前已被使用，会话已被终止。请重新登录。"),
    },
    "session_ended": {
        "en": Words("Session ended", "The session of this connection has ended. Log in again."),
        "zh": Words("会话已结束", "此连接的会话已结束。请重新登录。"),
    },
    "route_not_found": {
        "en": Words("Not found", "There is nothing at this path."),
        "zh": Words("未找到", "该路径不存在。"),
    },
    "user_not_found": {
        "en": Words("User not found", "There is no such user."),
        "zh": Words("用户不存在", "没有这个用户。"),
    },
    "friend_request_not_found": {
        "en": Words("Friend request not found", "There is no such friend request to you."),
        "zh": Words("好友申请不存在", "没有发给您的这条好友申请。"),
    },
    "conversation_not_found": {
        "en": Words("Conversation not found", "There is no such conversation, or you are not in it."),
        "zh": Words("会话不存在", "该会话不存在，或您不在其中。"),
    },
    "session_not_found": {
        "en": Words("Session not found", "You have no such session, or it has ended."),
        "zh": Words("登录会话不存在", "您没有这个登录会话，或它已结束。"),
    },
    "not_friends": {
        "en": Words("Not friends", "You can read this conversation; to write in it again, become friends again."),
        "zh": Words("不是好友", "您可以查看此会话；重新成为好友后才能继续发送消息。"),
    },
    "not_a_member": {
        "en": Words("Not a member", "You left this group. You can read what was said until then."),
        "zh": Words("不是群成员", "您已离开该群，只能查看离开之前的消息。"),
    },
    "not_permitted": {
        "en": Words("Not permitted", "It is not yours to do, or your role in this group does not include it."),
        "zh": Words("没有权限", "这不是您可以进行的操作，或您在该群中的角色无权进行此操作。"),
    },
    "member_not_found": {
        "en": Words("Member not found", "This person is not in the group."),
        "zh": Words("群成员不存在", "该群中没有这个人。"),
    },
    "not_a_group": {
        "en": Words("Not a group", "This is a conversation of two; only a group has members and a card."),
        "zh": Words("不是群聊", "这是单聊；只有群聊才有成员和群资料。"),
    },
    "group_dissolved": {
        "en": Words("Group dissolved", "The group was dissolved. You can read what was said in it."),
        "zh": Words("群已解散", "该群已解散，您仍可查看其中的消息。"),
    },
    "group_full": {
        "en": Words("Group full", "A group has at most 10,000 members; nobody was added."),
        "zh": Words("群已满", "群成员最多 10,000 人，未添加任何人。"),
    },
    "owner_must_hand_over": {
        "en": Words("Owner must hand over", "You own this group. Make somebody else its owner first, or dissolve it."),
        "zh": Words("请先转让群主", "您是该群群主，请先将群主转让他人，或解散该群。"),
    },
    "friend_not_found": {
        "en": Words("Friend not found", "You have no such friend."),
        "zh": Words("好友不存在", "您没有这个好友。"),
    },
    "file_not_found": {
        "en": Words("File not found", "There is no such file of yours."),
        "zh": Words("文件不存在", "您没有这个文件。"),
    },
    "phone_not_registered": {
        "en": Words("Phone not registered", "Nobody has registered with this phone. Register first."),
        "zh": Words("手机号未注册", "该手机号尚未注册，请先注册。"),
    },
    "method_not_allowed": {
        "en": Words("Method not allowed", "This path does not answer this method."),
        "zh": Words("方法不被允许", "该路径不支持此方法。"),
    },
    "username_taken": {
        "en": Words("Username taken", "Somebody has this username. Choose another."),
        "zh": Words("用户名已被占用", "该用户名已被使用，请换一个。"),
    },
    "phone_taken": {
        "en": Words("Phone taken", "An account with this phone exists. Log in instead."),
        "zh": Words("手机号已被注册", "该手机号已有账号，请直接登录。"),
    },
    "already_friends": {
        "en": Words("Already friends", "You two are friends already."),
        "zh": Words("已经是好友", "你们已经是好友了。"),
    },
    "friend_request_decided": {
        "en": Words("Friend request decided", "This friend request was decided otherwise before."),
        "zh": Words("好友申请已处理", "这条好友申请此前已被另行处理。"),
    },
    "user_blocked": {
        "en": Words("Person blocked", "You have blocked this person. Unblock them first."),
        "zh": Words("已拉黑该用户", "您已将此人拉黑，请先解除拉黑。"),
    },
    "client_id_conflict": {
        "en": Words("client_id used before", "You have sent another message with this client_id. Choose a new one."),
        "zh": Words("client_id 已被使用", "您已用该 client_id 发送过另一条消息，请换一个。"),
    },
    "idempotency_key_conflict": {
        "en": Words("Idempotency-Key used before", "Another request has used this Idempotency-Key. Choose a new one."),
        "zh": Words("Idempotency-Key 已被使用", "该 Idempotency-Key 已用于另一请求，请换一个。"),
    },
    "verification_code_expired": {
        "en": Words("Verification code expired", "The code is over: too old, used, or tried too often. Ask again."),
        "zh": Words("验证码已失效", "验证码已过期、已被使用或尝试次数过多，请重新获取。"),
    },
    "verification_code_wrong": {
        "en": Words("Wrong verification code", "The code is not the one sent to this phone for this purpose."),
        "zh": Words("验证码错误", "该验证码不是为此用途发送到此手机号的验证码。"),
    },
    "phone_not_reachable": {
        "en": Words("Phone not reachable", "No SMS can be sent to this number. Check it."),
        "zh": Words("手机号无法接收短信", "无法向该号码发送短信，请检查号码。"),
    },
    "file_not_usable": {
        "en": Words("File not usable", "The file is not completely uploaded, or was uploaded for another purpose."),
        "zh": Words("文件不可用", "该文件尚未上传完成，或其用途不符。"),
    },
    "file_too_large": {
        "en": Words(
            "File too large", "An avatar has up to 5 MiB, a voice message 10 MiB, an image 20 MiB, a file 2 GiB."
        ),
        "zh": Words("文件过大", "头像最大 5 MiB，语音 10 MiB，图片 20 MiB，文件 2 GiB。"),
    },
    "storage_full": {
        "en": Words("Storage full", "You store as much as you may. Delete files that you do not use."),
        "zh": Words("存储空间已满", "您的存储空间已用完，请删除不再使用的文件。"),
    },
    "unsupported_file": {
        "en": Words(
            "Unsupported type of file",
            "Images are PNG, JPEG, GIF, WebP (avatars no GIF), voices WAV, AMR, M4A, MP3, Opus; pages are not taken.",
        ),
        "zh": Words(
            "不支持的文件类型",
            "图片支持 PNG、JPEG、GIF、WebP（头像不支持 GIF），语音支持 WAV、AMR、M4A、MP3、Opus；不接受网页文件。",
        ),
    },
    "upload_incomplete": {
        "en": Words("Upload not complete", "The bytes are not there yet. Upload them, then complete again."),
        "zh": Words("上传未完成", "文件内容尚未上传，请上传后再完成。"),
    },
    "parts_wrong": {
        "en": Words(
            "Parts not as stored", "Name all parts in their order, each with the ETag that storing it answered."
        ),
        "zh": Words("分片不符", "请按顺序列出全部分片及上传时返回的 ETag。"),
    },
    "file_size_wrong": {
        "en": Words("Size not as declared", "There are more bytes, or fewer, than were declared. Nothing was kept."),
        "zh": Words("大小不符", "文件大小与声明不符，未予保存。"),
    },
    "file_checksum_wrong": {
        "en": Words(
            "Checksum not as declared", "The bytes are not those whose SHA-256 was declared. Nothing was kept."
        ),
        "zh": Words("校验和不符", "文件内容与声明的 SHA-256 不符，未予保存。"),
    },
    "file_type_wrong": {
        "en": Words("Type not as declared", "The bytes are not of the type that was declared. Nothing was kept."),
        "zh": Words("类型不符", "文件内容与声明的类型不符，未予保存。"),
    },
    "picture_too_large": {
        "en": Words(
            "Picture too large",
            "A picture has up to 50 million pixels, and no side longer than 16,383. Nothing was kept.",
        ),
        "zh": Words("图片尺寸过大", "图片最多 5000 万像素，且单边不超过 16383 像素。未予保存。"),
    },
    "picture_unreadable": {
        "en": Words("Picture not readable", "The picture is damaged or cut off. Nothing was kept."),
        "zh": Words("图片无法读取", "图片已损坏或不完整，未予保存。"),
    },
    "recording_too_long": {
        "en": Words("Recording too long", "A recording lasts up to 15 minutes. Nothing was kept."),
        "zh": Words("录音过长", "录音最长 15 分钟，未予保存。"),
    },
    "file_in_use": {
        "en": Words("File in use", "A message carries the file, or it is shown as an avatar."),
        "zh": Words("文件正在使用", "该文件正被消息或头像使用。"),
    },
    "rate_limited": {
        "en": Words("Too many requests", "You do this too often. Try again after the time in Retry-After."),
        "zh": Words("请求过于频繁", "操作过于频繁，请在 Retry-After 所示的时间后重试。"),
    },
    "sms_unavailable": {
        "en": Words("SMS not available", "No code could be sent. Try again in a while."),
        "zh": Words("短信服务暂不可用", "验证码未能发送，请稍后重试。"),
    },
    "search_unavailable": {
        "en": Words("Search not available", "Search is out of reach for the moment; everything else works."),
        "zh": Words("搜索暂不可用", "搜索暂时无法使用，其他功能不受影响。"),
    },
    "speech_unavailable": {
        "en": Words("Speech recognition not available", "Nothing can be recognised now. Try again in a while."),
        "zh": Words("语音识别暂不可用", "暂时无法识别语音，请稍后重试。"),
    },
    "audio_empty": {
        "en": Words("Audio empty", "There is no sound in the audio."),
        "zh": Words("音频为空", "该音频中没有声音数据。"),
    },
    "audio_unreadable": {
        "en": Words(
            "Audio not readable",
            "The audio is damaged, cut off, or not of the type that it is declared as. Record it again.",
        ),
        "zh": Words("音频无法读取", "该音频已损坏、不完整，或与声明的类型不符。请重新录制。"),
    },
    "audio_too_long": {
        "en": Words("Audio too long", "Up to 60 seconds of speech are recognised at once."),
        "zh": Words("音频过长", "一次最多识别 60 秒语音。"),
    },
    "audio_unrecognisable": {
        "en": Words("No words recognised", "Nobody speaks in the audio, or not clearly enough. Record it again."),
        "zh": Words("未识别到文字", "音频中没有人说话，或语音不够清晰。请靠近麦克风重新录制。"),
    },
    "audio_too_large": {
        "en": Words("Audio too large", "A body holds at most 4 MiB of audio, a file that is recognised 10 MiB."),
        "zh": Words("音频过大", "请求体最多 4 MiB 音频，用于识别的文件最多 10 MiB。"),
    },
    "unsupported_audio": {
        "en": Words(
            "Unsupported audio",
            "Send audio/wav, audio/pcm;rate=16000 or 8000, audio/amr, audio/m4a, audio/mpeg or audio/ogg.",
        ),
        "zh": Words(
            "不支持的音频类型",
            "请发送 audio/wav、audio/pcm;rate=16000 或 8000、audio/amr、audio/m4a、audio/mpeg 或 audio/ogg。",
        ),
    },
    "body_too_large": {
        "en": Words("Body too large", "The body holds at most 128 KiB."),
        "zh": Words("请求体过大", "请求体最多 128 KiB。"),
    },
    "unsupported_media_type": {
        "en": Words("Unsupported media type", "Send the body as application/json."),
        "zh": Words("不支持的媒体类型", "请以 application/json 发送请求体。"),
    },
    "validation_failed": {
        "en": Words("Validation failed", "Some fields are not as they must be; errors names each."),
        "zh": Words("校验失败", "部分字段不符合要求，详见 errors。"),
    },
    "self_friendship": {
        "en": Words("That is you", "You cannot befriend yourself."),
        "zh": Words("这是您自己", "不能添加自己为好友。"),
    },
    "self_block": {
        "en": Words("That is you", "You cannot block yourself."),
        "zh": Words("这是您自己", "不能拉黑自己。"),
    },
    "internal_error": {
        "en": Words("Internal error", "Something went wrong on our side. The request id leads us to it."),
        "zh": Words("内部错误", "服务端出现问题。请提供请求编号以便排查。"),
    },
    "service_unavailable": {
        "en": Words("Service unavailable", "A part of the service is out of reach. Try again in a moment."),
        "zh": Words("服务暂不可用", "服务的一部分暂时无法访问，请稍后重试。"),
    },
    "message_not_found": {
        "en": Words("No such message", "The conversation has no such message, or you cannot see it."),
        "zh": Words("消息不存在", "会话中没有这条消息，或者你无权查看。"),
    },
    "edit_window_over": {
        "en": Words("Too late to edit", "A message can be edited for 15 minutes after it was sent."),
        "zh": Words("已超过编辑时限", "消息发出 15 分钟后不能再编辑。"),
    },
    "recall_window_over": {
        "en": Words("Too late to recall", "A message can be recalled for 2 minutes after it was sent."),
        "zh": Words("已超过撤回时限", "消息发出 2 分钟后不能再撤回。"),
    },
    "message_recalled": {
        "en": Words("Message recalled", "The message was recalled."),
        "zh": Words("消息已撤回", "这条消息已被撤回。"),
    },
    "message_not_editable": {
        "en": Words("Message cannot be changed", "This kind of message cannot be edited, recalled or forwarded."),
        "zh": Words("消息不可更改", "这类消息不能编辑、撤回或转发。"),
    },
    "too_many_reactions": {
        "en": Words("Too many reactions", "The message has 20 different reactions; join one of those."),
        "zh": Words("表情回应过多", "这条消息已有 20 种表情回应，请选择其中之一。"),
    },
    "sync_cursor_expired": {
        "en": Words("Cursor expired", "The state that this cursor continues is gone. Sync again without a cursor."),
        "zh": Words("同步游标已失效", "该游标对应的状态已不存在，请不带游标重新同步。"),
    },
    "export_not_found": {
        "en": Words("No such archive", "You have no such archive; one is kept for a week."),
        "zh": Words("导出不存在", "没有这份导出数据；导出数据保留一周。"),
    },
}
