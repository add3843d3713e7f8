"""What can go wrong, as a client is told it: RFC 9457 problems with a stable ``code`` (contract, Conventions).

    Problem
    ├── BadRequest 400          MalformedJson · InvalidCursor · InvalidFrame · UnknownAction
    ├── Unauthenticated 401     TokenInvalid · CredentialsInvalid · RefreshTokenInvalid · RefreshTokenReused ·
    │                           SessionEnded
    ├── Forbidden 403           NotFriends · NotAMember · NotPermitted
    ├── NotFound 404            RouteNotFound · UserNotFound · FriendRequestNotFound · ConversationNotFound ·
    │                           SessionNotFound · FileNotFound · PhoneNotRegistered · FriendNotFound ·
    │                           MemberNotFound · MessageNotFound · ExportNotFound
    ├── MethodNotAllowed 405
    ├── Conflict 409            UsernameTaken · PhoneTaken · AlreadyFriends · FriendRequestDecided · ClientIdConflict ·
    │                           UserBlocked · NotAGroup · GroupDissolved · GroupFull · OwnerMustHandOver ·
    │                           EditWindowOver · RecallWindowOver · MessageRecalled · MessageNotEditable ·
    │                           TooManyReactions · FileInUse · IdempotencyKeyConflict
    ├── Gone 410                VerificationCodeExpired · SyncCursorExpired
    ├── TooLarge 413             BodyTooLarge · FrameTooLarge · AudioTooLarge · FileTooLarge · StorageFull
    ├── UnsupportedMediaType 415    UnsupportedAudio · UnsupportedFile
    ├── ValidationFailed 422    SelfFriendship · SelfBlock · VerificationCodeWrong · PhoneNotReachable · FileNotUsable ·
    │                           AudioEmpty · AudioUnreadable · AudioTooLong · AudioUnrecognisable · UploadIncomplete ·
    │                           PartsWrong · FileSizeWrong · FileChecksumWrong · FileTypeWrong · PictureTooLarge ·
    │                           PictureUnreadable · RecordingTooLong
    ├── RateLimited 429
    ├── InternalError 500
    └── ServiceUnavailable 503  SmsUnavailable · SearchUnavailable · SpeechUnavailable

The words of each, in both languages, stand in :mod:`hongyan.catalogue` under its code.
"""

from typing import Any, ClassVar, TypedDict

from hongyan.catalogue import CATALOGUE, Language


class FieldError(TypedDict):
    """One refused field: ``loc`` is the way to it (``["body", "content", "text"]``), ``msg`` says why."""

    loc: list[str | int]
    msg: str


class Problem(Exception):  # noqa: N818  # the RFC's word
    """An answer other than success. Raised anywhere below the edge, rendered at it."""

    status: ClassVar[int]
    code: ClassVar[str]
    retry_after_seconds: int | None = None

    def __init__(self, *, errors: list[FieldError] | None = None) -> None:
        super().__init__(self.code)
        self.errors = errors

    def body(self, language: Language, request_id: str) -> dict[str, Any]:
        """Return the problem object in ``language``."""
        words = CATALOGUE[self.code][language]
        problem: dict[str, Any] = {
            "type": f"urn:hongyan:problem:{self.code}",
            "title": words.title,
            "status": self.status,
            "detail": words.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.errors is not None:
            problem["errors"] = self.errors
        return problem


class BadRequest(Problem):
    """The request cannot be understood."""

    status = 400


class MalformedJson(BadRequest):
    """The body is not JSON in UTF-8."""

    code = "malformed_json"


class InvalidCursor(BadRequest):
    """The cursor was changed, or is of another list or another person."""

    code = "invalid_cursor"


class InvalidFrame(BadRequest):
    """The frame is not one JSON object in text."""

    code = "invalid_frame"


class UnknownAction(BadRequest):
    """The frame's ``action`` is none that the contract names."""

    code = "unknown_action"


class Unauthenticated(Problem):
    """Who is asking is not known."""

    status = 401


class TokenInvalid(Unauthenticated):
    """The access token or ticket is missing, malformed, unknown, expired, spent, or of an ended session."""

    code = "token_invalid"


class CredentialsInvalid(Unauthenticated):
    """The username is unknown or the password is wrong; which of the two is never told."""

    code = "credentials_invalid"


class RefreshTokenInvalid(Unauthenticated):
    """The refresh token is unknown, expired, or of an ended session."""

    code = "refresh_token_invalid"


class RefreshTokenReused(Unauthenticated):
    """The refresh token was spent before: two hold it, so its session has been ended."""

    code = "refresh_token_reused"


class SessionEnded(Unauthenticated):
    """The session of this socket has ended."""

    code = "session_ended"


class Forbidden(Problem):
    """The caller may see it and may not do this with it."""

    status = 403


class NotFriends(Forbidden):
    """The two sides of a single are not friends, or the other side does not want to hear; which is never told."""

    code = "not_friends"


class NotAMember(Forbidden):
    """The caller was in the group, and may read what was said until they left."""

    code = "not_a_member"


class NotPermitted(Forbidden):
    """The caller's role in the group does not include this (architecture, Who may what in a group)."""

    code = "not_permitted"


class NotFound(Problem):
    """It does not exist, or the caller may not see it: ids cannot be probed."""

    status = 404


class RouteNotFound(NotFound):
    """No such path."""

    code = "route_not_found"


class UserNotFound(NotFound):
    """No such user."""

    code = "user_not_found"


class FriendRequestNotFound(NotFound):
    """No such friend request to the caller."""

    code = "friend_request_not_found"


class ConversationNotFound(NotFound):
    """No such conversation, or the caller is not in it."""

    code = "conversation_not_found"


class SessionNotFound(NotFound):
    """No such live session of the caller."""

    code = "session_not_found"


class FriendNotFound(NotFound):
    """The caller has no such friend."""

    code = "friend_not_found"


class MemberNotFound(NotFound):
    """Nobody of this id is in the group."""

    code = "member_not_found"


class FileNotFound(NotFound):
    """No such file, or it is not the caller's to use."""

    code = "file_not_found"


class MessageNotFound(NotFound):
    """The conversation has no such message that the caller may see."""

    code = "message_not_found"


class ExportNotFound(NotFound):
    """No such archive of the caller's, or it was deleted a week after it was asked for."""

    code = "export_not_found"


class PhoneNotRegistered(NotFound):
    """Nobody has the phone. Told only to whoever has shown by a code that the phone is theirs."""

    code = "phone_not_registered"


class MethodNotAllowed(Problem):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class Conflict(Problem):
    """The request is sound and what is there speaks against it."""

    status = 409


class UsernameTaken(Conflict):
    """Somebody has the username, perhaps in other letter case."""

    code = "username_taken"


class PhoneTaken(Conflict):
    """Somebody has the phone. Told only to whoever has shown by a code that the phone is theirs."""

    code = "phone_taken"


class AlreadyFriends(Conflict):
    """The two are friends."""

    code = "already_friends"


class FriendRequestDecided(Conflict):
    """The friend request was decided otherwise before."""

    code = "friend_request_decided"


class UserBlocked(Conflict):
    """The caller has blocked this person, and so cannot ask or write to them."""

    code = "user_blocked"


class ClientIdConflict(Conflict):
    """The sender has used this ``client_id`` for another message."""

    code = "client_id_conflict"


class IdempotencyKeyConflict(Conflict):
    """The caller has used this ``Idempotency-Key`` for another request."""

    code = "idempotency_key_conflict"


class NotAGroup(Conflict):
    """The conversation is a single: nobody joins or leaves it, and it has no card."""

    code = "not_a_group"


class GroupDissolved(Conflict):
    """The group is over. It can be read, and nothing else."""

    code = "group_dissolved"


class GroupFull(Conflict):
    """The group would have more than 10,000 members."""

    code = "group_full"


class OwnerMustHandOver(Conflict):
    """The owner cannot leave or take another role: a group always has one. Hand it over first, or dissolve it."""

    code = "owner_must_hand_over"


class EditWindowOver(Conflict):
    """The message was sent too long ago to be edited."""

    code = "edit_window_over"


class RecallWindowOver(Conflict):
    """The message was sent too long ago for its sender to recall it."""

    code = "recall_window_over"


class MessageRecalled(Conflict):
    """The message was recalled: there is nothing to edit, forward or react to."""

    code = "message_recalled"


class MessageNotEditable(Conflict):
    """Only a text can be edited; what the server says of a group can be neither recalled nor forwarded."""

    code = "message_not_editable"


class TooManyReactions(Conflict):
    """The message has 20 different reactions. One of those can still be joined."""

    code = "too_many_reactions"


class FileInUse(Conflict):
    """Something shows the file, or a message carries it."""

    code = "file_in_use"


class VerificationCodeExpired(Problem):
    """The code is over: five minutes old, used, or tried wrongly five times. Ask for another."""

    status = 410
    code = "verification_code_expired"


class SyncCursorExpired(Problem):
    """The state that the cursor continues is not there any more. Begin anew without a cursor."""

    status = 410
    code = "sync_cursor_expired"


class TooLarge(Problem):
    """More than is taken at once."""

    status = 413


class BodyTooLarge(TooLarge):
    """The body is over 128 KiB."""

    code = "body_too_large"


class FrameTooLarge(TooLarge):
    """The frame is over 32 KiB (contract, WebSocket; AWS quota of a frame)."""

    code = "frame_too_large"


class AudioTooLarge(TooLarge):
    """The audio is over 4 MiB as a body, or over 10 MiB as a file."""

    code = "audio_too_large"


class FileTooLarge(TooLarge):
    """The file is larger than any for its purpose."""

    code = "file_too_large"


class StorageFull(TooLarge):
    """With the file, its owner would store more than anybody may."""

    code = "storage_full"


class UnsupportedMediaType(Problem):
    """The body is not declared as JSON."""

    status = 415
    code = "unsupported_media_type"


class UnsupportedAudio(Problem):
    """The audio is declared as something that is not taken."""

    status = 415
    code = "unsupported_audio"


class UnsupportedFile(Problem):
    """The file's type is none that serves its purpose."""

    status = 415
    code = "unsupported_file"


class ValidationFailed(Problem):
    """A field is missing, unknown, of the wrong type or out of bounds; ``errors`` names each."""

    status = 422
    code = "validation_failed"

    @classmethod
    def at(cls, loc: list[str | int], msg: str) -> "ValidationFailed":
        """Return the problem for one field."""
        return cls(errors=[{"loc": loc, "msg": msg}])


class SelfFriendship(Problem):
    """A friend request to oneself."""

    status = 422
    code = "self_friendship"


class SelfBlock(Problem):
    """Blocking oneself."""

    status = 422
    code = "self_block"


class VerificationCodeWrong(Problem):
    """The code is not the one that was sent, or was sent to another phone or for another purpose."""

    status = 422
    code = "verification_code_wrong"


class PhoneNotReachable(Problem):
    """The SMS vendor does not deliver to this number."""

    status = 422
    code = "phone_not_reachable"


class FileNotUsable(Problem):
    """The file is not complete, or not of the kind that this needs."""

    status = 422
    code = "file_not_usable"


class UploadIncomplete(Problem):
    """The bytes are not there yet."""

    status = 422
    code = "upload_incomplete"


class PartsWrong(Problem):
    """The parts are not all named, or not as they were stored."""

    status = 422
    code = "parts_wrong"


class FileSizeWrong(Problem):
    """There are more bytes, or fewer, than were declared."""

    status = 422
    code = "file_size_wrong"


class FileChecksumWrong(Problem):
    """The bytes are not those whose checksum was declared."""

    status = 422
    code = "file_checksum_wrong"


class FileTypeWrong(Problem):
    """The bytes are not of the type that was declared."""

    status = 422
    code = "file_type_wrong"


class PictureTooLarge(Problem):
    """The picture has too many pixels to be shown anywhere."""

    status = 422
    code = "picture_too_large"


class PictureUnreadable(Problem):
    """The picture is broken."""

    status = 422
    code = "picture_unreadable"


class RecordingTooLong(Problem):
    """The recording lasts longer than a quarter of an hour."""

    status = 422
    code = "recording_too_long"


class AudioEmpty(Problem):
    """There is no sound: no bytes, or a header and nothing behind it."""

    status = 422
    code = "audio_empty"


class AudioUnreadable(Problem):
    """The bytes are not what they are declared as, are cut off, or contradict themselves."""

    status = 422
    code = "audio_unreadable"


class AudioTooLong(Problem):
    """The audio lasts longer than 60 s."""

    status = 422
    code = "audio_too_long"


class AudioUnrecognisable(Problem):
    """Nobody speaks, or what is said cannot be made out."""

    status = 422
    code = "audio_unrecognisable"


class RateLimited(Problem):
    """Too many of these lately; ``retry_after_seconds`` says when the next is taken."""

    status = 429
    code = "rate_limited"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class InternalError(Problem):
    """A defect of ours. The log has the rest, under the request id."""

    status = 500
    code = "internal_error"


class ServiceUnavailable(Problem):
    """A store or a module is out of reach. Nothing was half-done: try again."""

    status = 503
    code = "service_unavailable"
    retry_after_seconds = 1


class SmsUnavailable(Problem):
    """The SMS vendor is out of reach or refuses us. No code was sent and none counts."""

    status = 503
    code = "sms_unavailable"
    retry_after_seconds = 30


class SearchUnavailable(Problem):
    """The search engine is out of reach; all else goes on."""

    status = 503
    code = "search_unavailable"
    retry_after_seconds = 5


class SpeechUnavailable(Problem):
    """The recogniser is out of reach, refuses us, or has no quota left for us."""

    status = 503
    code = "speech_unavailable"

    def __init__(self, retry_after_seconds: int = 30) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds
