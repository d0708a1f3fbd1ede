from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchRequest(_message.Message):
    __slots__ = ("wait_ms", "above_height", "known_digest", "questions")
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    ABOVE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    KNOWN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    wait_ms: int
    above_height: int
    known_digest: bytes
    questions: _containers.RepeatedCompositeFieldContainer[Question]
    def __init__(self, wait_ms: _Optional[int] = ..., above_height: _Optional[int] = ..., known_digest: _Optional[bytes] = ..., questions: _Optional[_Iterable[_Union[Question, _Mapping]]] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("method", "request")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    method: str
    request: bytes
    def __init__(self, method: _Optional[str] = ..., request: _Optional[bytes] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("height", "digest", "answers")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    height: int
    digest: bytes
    answers: _containers.RepeatedCompositeFieldContainer[Answer]
    def __init__(self, height: _Optional[int] = ..., digest: _Optional[bytes] = ..., answers: _Optional[_Iterable[_Union[Answer, _Mapping]]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("response", "status", "detail", "codespace", "code")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CODESPACE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    response: bytes
    status: str
    detail: str
    codespace: str
    code: int
    def __init__(self, response: _Optional[bytes] = ..., status: _Optional[str] = ..., detail: _Optional[str] = ..., codespace: _Optional[str] = ..., code: _Optional[int] = ...) -> None: ...
