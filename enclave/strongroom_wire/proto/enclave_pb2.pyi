from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SyncJobType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INCREMENTAL: _ClassVar[SyncJobType]
    HISTORICAL: _ClassVar[SyncJobType]
    FULL: _ClassVar[SyncJobType]
INCREMENTAL: SyncJobType
HISTORICAL: SyncJobType
FULL: SyncJobType

class SyncJobRequest(_message.Message):
    __slots__ = ("user_uid", "exchange", "type", "start_date", "end_date")
    USER_UID_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    user_uid: str
    exchange: str
    type: SyncJobType
    start_date: int
    end_date: int
    def __init__(self, user_uid: _Optional[str] = ..., exchange: _Optional[str] = ..., type: _Optional[_Union[SyncJobType, str]] = ..., start_date: _Optional[int] = ..., end_date: _Optional[int] = ...) -> None: ...

class BalanceSnapshot(_message.Message):
    __slots__ = ("balance", "equity", "timestamp", "equity_exact", "currency", "account")
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    EQUITY_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EQUITY_EXACT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    balance: float
    equity: float
    timestamp: int
    equity_exact: str
    currency: str
    account: str
    def __init__(self, balance: _Optional[float] = ..., equity: _Optional[float] = ..., timestamp: _Optional[int] = ..., equity_exact: _Optional[str] = ..., currency: _Optional[str] = ..., account: _Optional[str] = ...) -> None: ...

class SyncJobResponse(_message.Message):
    __slots__ = ("success", "user_uid", "exchange", "synced", "hourly_returns_generated", "latest_snapshot", "error", "completeness")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    USER_UID_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYNCED_FIELD_NUMBER: _ClassVar[int]
    HOURLY_RETURNS_GENERATED_FIELD_NUMBER: _ClassVar[int]
    LATEST_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    COMPLETENESS_FIELD_NUMBER: _ClassVar[int]
    success: bool
    user_uid: str
    exchange: str
    synced: int
    hourly_returns_generated: int
    latest_snapshot: BalanceSnapshot
    error: str
    completeness: str
    def __init__(self, success: _Optional[bool] = ..., user_uid: _Optional[str] = ..., exchange: _Optional[str] = ..., synced: _Optional[int] = ..., hourly_returns_generated: _Optional[int] = ..., latest_snapshot: _Optional[_Union[BalanceSnapshot, _Mapping]] = ..., error: _Optional[str] = ..., completeness: _Optional[str] = ...) -> None: ...

class HistoricalReturnsRequest(_message.Message):
    __slots__ = ("user_uid", "start_date", "end_date", "exchange")
    USER_UID_FIELD_NUMBER: _ClassVar[int]
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    user_uid: str
    start_date: int
    end_date: int
    exchange: str
    def __init__(self, user_uid: _Optional[str] = ..., start_date: _Optional[int] = ..., end_date: _Optional[int] = ..., exchange: _Optional[str] = ...) -> None: ...

class HistoricalReturn(_message.Message):
    __slots__ = ("period", "net_return", "percentage_return", "balance", "net_return_exact", "percentage_return_exact", "balance_exact", "account", "venue", "environment", "currency", "start_ms", "hours", "flags", "leaf_index")
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    NET_RETURN_FIELD_NUMBER: _ClassVar[int]
    PERCENTAGE_RETURN_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    NET_RETURN_EXACT_FIELD_NUMBER: _ClassVar[int]
    PERCENTAGE_RETURN_EXACT_FIELD_NUMBER: _ClassVar[int]
    BALANCE_EXACT_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    HOURS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    LEAF_INDEX_FIELD_NUMBER: _ClassVar[int]
    period: str
    net_return: float
    percentage_return: float
    balance: float
    net_return_exact: str
    percentage_return_exact: str
    balance_exact: str
    account: str
    venue: str
    environment: str
    currency: str
    start_ms: str
    hours: str
    flags: str
    leaf_index: str
    def __init__(self, period: _Optional[str] = ..., net_return: _Optional[float] = ..., percentage_return: _Optional[float] = ..., balance: _Optional[float] = ..., net_return_exact: _Optional[str] = ..., percentage_return_exact: _Optional[str] = ..., balance_exact: _Optional[str] = ..., account: _Optional[str] = ..., venue: _Optional[str] = ..., environment: _Optional[str] = ..., currency: _Optional[str] = ..., start_ms: _Optional[str] = ..., hours: _Optional[str] = ..., flags: _Optional[str] = ..., leaf_index: _Optional[str] = ...) -> None: ...

class HistoricalReturnsResponse(_message.Message):
    __slots__ = ("success", "returns", "error", "completeness")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    RETURNS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    COMPLETENESS_FIELD_NUMBER: _ClassVar[int]
    success: bool
    returns: _containers.RepeatedCompositeFieldContainer[HistoricalReturn]
    error: str
    completeness: str
    def __init__(self, success: _Optional[bool] = ..., returns: _Optional[_Iterable[_Union[HistoricalReturn, _Mapping]]] = ..., error: _Optional[str] = ..., completeness: _Optional[str] = ...) -> None: ...

class AggregatedMetricsRequest(_message.Message):
    __slots__ = ("user_uid", "exchange")
    USER_UID_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    user_uid: str
    exchange: str
    def __init__(self, user_uid: _Optional[str] = ..., exchange: _Optional[str] = ...) -> None: ...

class AggregatedMetricsResponse(_message.Message):
    __slots__ = ("total_balance", "total_equity", "total_realized_pnl", "total_unrealized_pnl", "total_fees", "total_trades", "last_sync", "total_equity_exact", "total_realized_pnl_exact", "total_unrealized_pnl_exact", "total_fees_exact", "total_trades_exact", "currency", "completeness")
    TOTAL_BALANCE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_EQUITY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_REALIZED_PNL_FIELD_NUMBER: _ClassVar[int]
    TOTAL_UNREALIZED_PNL_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FEES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TRADES_FIELD_NUMBER: _ClassVar[int]
    LAST_SYNC_FIELD_NUMBER: _ClassVar[int]
    TOTAL_EQUITY_EXACT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_REALIZED_PNL_EXACT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_UNREALIZED_PNL_EXACT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FEES_EXACT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TRADES_EXACT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    COMPLETENESS_FIELD_NUMBER: _ClassVar[int]
    total_balance: float
    total_equity: float
    total_realized_pnl: float
    total_unrealized_pnl: float
    total_fees: float
    total_trades: int
    last_sync: int
    total_equity_exact: str
    total_realized_pnl_exact: str
    total_unrealized_pnl_exact: str
    total_fees_exact: str
    total_trades_exact: str
    currency: str
    completeness: str
    def __init__(self, total_balance: _Optional[float] = ..., total_equity: _Optional[float] = ..., total_realized_pnl: _Optional[float] = ..., total_unrealized_pnl: _Optional[float] = ..., total_fees: _Optional[float] = ..., total_trades: _Optional[int] = ..., last_sync: _Optional[int] = ..., total_equity_exact: _Optional[str] = ..., total_realized_pnl_exact: _Optional[str] = ..., total_unrealized_pnl_exact: _Optional[str] = ..., total_fees_exact: _Optional[str] = ..., total_trades_exact: _Optional[str] = ..., currency: _Optional[str] = ..., completeness: _Optional[str] = ...) -> None: ...

class HealthCheckRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthCheckResponse(_message.Message):
    __slots__ = ("status", "enclave", "version", "uptime")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        HEALTHY: _ClassVar[HealthCheckResponse.Status]
        UNHEALTHY: _ClassVar[HealthCheckResponse.Status]
    HEALTHY: HealthCheckResponse.Status
    UNHEALTHY: HealthCheckResponse.Status
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ENCLAVE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    status: HealthCheckResponse.Status
    enclave: bool
    version: str
    uptime: float
    def __init__(self, status: _Optional[_Union[HealthCheckResponse.Status, str]] = ..., enclave: _Optional[bool] = ..., version: _Optional[str] = ..., uptime: _Optional[float] = ...) -> None: ...
