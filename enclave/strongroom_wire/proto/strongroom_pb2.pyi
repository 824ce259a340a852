from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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

class Bytes(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    def __init__(self, value: _Optional[bytes] = ...) -> None: ...
