from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("phase",)
    class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PHASE_UNSPECIFIED: _ClassVar[StatusReply.Phase]
        BOOTED: _ClassVar[StatusReply.Phase]
        CONFIGURED: _ClassVar[StatusReply.Phase]
        READY: _ClassVar[StatusReply.Phase]
        HALTED: _ClassVar[StatusReply.Phase]
    PHASE_UNSPECIFIED: StatusReply.Phase
    BOOTED: StatusReply.Phase
    CONFIGURED: StatusReply.Phase
    READY: StatusReply.Phase
    HALTED: StatusReply.Phase
    PHASE_FIELD_NUMBER: _ClassVar[int]
    phase: StatusReply.Phase
    def __init__(self, phase: _Optional[_Union[StatusReply.Phase, str]] = ...) -> None: ...

class EvidenceRequest(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    def __init__(self, nonce: _Optional[bytes] = ...) -> None: ...

class EvidenceReply(_message.Message):
    __slots__ = ("code", "document", "bundle")
    CODE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    code: int
    document: bytes
    bundle: bytes
    def __init__(self, code: _Optional[int] = ..., document: _Optional[bytes] = ..., bundle: _Optional[bytes] = ...) -> None: ...

class Statement(_message.Message):
    __slots__ = ("payload", "signatures")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    signatures: _containers.RepeatedCompositeFieldContainer[Signature]
    def __init__(self, payload: _Optional[bytes] = ..., signatures: _Optional[_Iterable[_Union[Signature, _Mapping]]] = ...) -> None: ...

class Signature(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    value: bytes
    def __init__(self, key: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("code", "answer", "signature")
    CODE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    code: int
    answer: bytes
    signature: bytes
    def __init__(self, code: _Optional[int] = ..., answer: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...
