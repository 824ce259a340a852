from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    BOOTED: _ClassVar[Phase]
    CONFIGURED: _ClassVar[Phase]
    READY: _ClassVar[Phase]
    HALTED: _ClassVar[Phase]
PHASE_UNSPECIFIED: Phase
BOOTED: Phase
CONFIGURED: Phase
READY: Phase
HALTED: Phase

class Request(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    def __init__(self, value: _Optional[bytes] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("code", "answer", "signature")
    CODE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    code: int
    answer: bytes
    signature: bytes
    def __init__(self, code: _Optional[int] = ..., answer: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class WatchSyncRequest(_message.Message):
    __slots__ = ("account", "start")
    class Start(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NOTHING: _ClassVar[WatchSyncRequest.Start]
        INCREMENTAL: _ClassVar[WatchSyncRequest.Start]
        FULL: _ClassVar[WatchSyncRequest.Start]
    NOTHING: WatchSyncRequest.Start
    INCREMENTAL: WatchSyncRequest.Start
    FULL: WatchSyncRequest.Start
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    account: str
    start: WatchSyncRequest.Start
    def __init__(self, account: _Optional[str] = ..., start: _Optional[_Union[WatchSyncRequest.Start, str]] = ...) -> None: ...

class SyncStage(_message.Message):
    __slots__ = ("account", "stage", "code", "reason")
    class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STAGE_UNSPECIFIED: _ClassVar[SyncStage.Stage]
        QUEUED: _ClassVar[SyncStage.Stage]
        STARTED: _ClassVar[SyncStage.Stage]
        READING: _ClassVar[SyncStage.Stage]
        FETCHING: _ClassVar[SyncStage.Stage]
        COMMITTING: _ClassVar[SyncStage.Stage]
        PUBLISHING: _ClassVar[SyncStage.Stage]
        DONE: _ClassVar[SyncStage.Stage]
        RETRYING: _ClassVar[SyncStage.Stage]
        DEAD: _ClassVar[SyncStage.Stage]
    STAGE_UNSPECIFIED: SyncStage.Stage
    QUEUED: SyncStage.Stage
    STARTED: SyncStage.Stage
    READING: SyncStage.Stage
    FETCHING: SyncStage.Stage
    COMMITTING: SyncStage.Stage
    PUBLISHING: SyncStage.Stage
    DONE: SyncStage.Stage
    RETRYING: SyncStage.Stage
    DEAD: SyncStage.Stage
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    account: str
    stage: SyncStage.Stage
    code: int
    reason: int
    def __init__(self, account: _Optional[str] = ..., stage: _Optional[_Union[SyncStage.Stage, str]] = ..., code: _Optional[int] = ..., reason: _Optional[int] = ...) -> None: ...
