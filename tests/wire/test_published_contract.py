"""The track-record contract as first published: names, numbers and types that must stay.

Written out here a second time, from the published description, and compared with the descriptor
that the generated stubs carry: a client of version 1.0.0 keeps working on the wire.
"""

import struct

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from strongroom_wire.proto import enclave_pb2 as pb

STRING, INT64, INT32 = (
    FieldDescriptor.TYPE_STRING,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_INT32,
)
DOUBLE, BOOL = FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_BOOL
ENUM, MESSAGE = FieldDescriptor.TYPE_ENUM, FieldDescriptor.TYPE_MESSAGE

Fields = dict[str, tuple[int, int]]

MESSAGES: dict[str, Fields] = {
    "SyncJobRequest": {
        "user_uid": (1, STRING),
        "exchange": (2, STRING),
        "type": (3, ENUM),
        "start_date": (4, INT64),
        "end_date": (5, INT64),
    },
    "SyncJobResponse": {
        "success": (1, BOOL),
        "user_uid": (2, STRING),
        "exchange": (3, STRING),
        "synced": (4, INT32),
        "hourly_returns_generated": (5, INT32),
        "latest_snapshot": (6, MESSAGE),
        "error": (7, STRING),
    },
    "HistoricalReturnsRequest": {
        "user_uid": (1, STRING),
        "start_date": (2, INT64),
        "end_date": (3, INT64),
        "exchange": (4, STRING),
    },
    "HistoricalReturnsResponse": {
        "success": (1, BOOL),
        "returns": (2, MESSAGE),
        "error": (3, STRING),
    },
    "AggregatedMetricsRequest": {"user_uid": (1, STRING), "exchange": (2, STRING)},
    "AggregatedMetricsResponse": {
        "total_balance": (1, DOUBLE),
        "total_equity": (2, DOUBLE),
        "total_realized_pnl": (3, DOUBLE),
        "total_unrealized_pnl": (4, DOUBLE),
        "total_fees": (5, DOUBLE),
        "total_trades": (6, INT32),
        "last_sync": (7, INT64),
    },
    "HealthCheckRequest": {},
    "HealthCheckResponse": {
        "status": (1, ENUM),
        "enclave": (2, BOOL),
        "version": (3, STRING),
        "uptime": (4, DOUBLE),
    },
}
SNAPSHOT: Fields = {"balance": (1, DOUBLE), "equity": (2, DOUBLE), "timestamp": (3, INT64)}
RETURN: Fields = {
    "period": (1, STRING),
    "net_return": (2, DOUBLE),
    "percentage_return": (3, DOUBLE),
    "balance": (4, DOUBLE),
}
METHODS = {
    "ProcessSyncJob": ("SyncJobRequest", "SyncJobResponse"),
    "CalculateHistoricalReturns": ("HistoricalReturnsRequest", "HistoricalReturnsResponse"),
    "GetAggregatedMetrics": ("AggregatedMetricsRequest", "AggregatedMetricsResponse"),
    "HealthCheck": ("HealthCheckRequest", "HealthCheckResponse"),
}


def _fields(message: Descriptor) -> Fields:
    return {field.name: (field.number, field.type) for field in message.fields}


def _kind(message: str, field: str) -> dict[str, int]:
    found = _message(message).fields_by_name[field].enum_type
    assert found is not None
    return {value.name: value.number for value in found.values}


def _nested(message: str, field: str) -> Fields:
    found = _message(message).fields_by_name[field].message_type
    assert found is not None
    return _fields(found)


def _message(name: str) -> Descriptor:
    return pb.DESCRIPTOR.message_types_by_name[name]


def test_package_and_service_keep_their_names() -> None:
    assert pb.DESCRIPTOR.package == "enclave"
    service = pb.DESCRIPTOR.services_by_name["EnclaveService"]
    methods = {m.name: (m.input_type.name, m.output_type.name) for m in service.methods}
    assert METHODS.items() <= methods.items()
    assert not any(m.client_streaming or m.server_streaming for m in service.methods)


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_keep_their_fields(name: str) -> None:
    found = _fields(_message(name))
    published = MESSAGES[name]
    assert published.items() <= found.items()
    # Additions are exact strings beside the published doubles, and take fresh numbers.
    assert all(kind == STRING for field, (_, kind) in found.items() if field not in published)
    assert len({number for number, _ in found.values()}) == len(found)


def test_only_returns_repeat() -> None:
    repeated = {
        field.full_name
        for message in pb.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if field.is_repeated
    }
    assert repeated == {"enclave.HistoricalReturnsResponse.returns"}


def test_nested_messages_keep_their_fields() -> None:
    assert SNAPSHOT.items() <= _nested("SyncJobResponse", "latest_snapshot").items()
    assert RETURN.items() <= _nested("HistoricalReturnsResponse", "returns").items()


def test_enums_keep_their_numbers() -> None:
    kinds = {"INCREMENTAL": 0, "HISTORICAL": 1, "FULL": 2}
    assert _kind("SyncJobRequest", "type") == kinds
    assert _kind("HealthCheckResponse", "status") == {"HEALTHY": 0, "UNHEALTHY": 1}


def test_requests_of_the_first_clients_still_parse() -> None:
    # Tag = number << 3 | wire type; 0 varint, 1 eight bytes, 2 length-delimited.
    by_hand = (
        b"\x0a\x05alice" + b"\x12\x07binance" + b"\x18\x02" + b"\x20\xe8\x07" + b"\x28\xd0\x0f"
    )
    request = pb.SyncJobRequest.FromString(by_hand)
    assert (request.user_uid, request.exchange) == ("alice", "binance")
    assert (request.type, request.start_date, request.end_date) == (pb.FULL, 1000, 2000)
    assert request.SerializeToString(deterministic=True) == by_hand


def test_the_first_clients_still_read_our_answers() -> None:
    def double(tag: int, value: float) -> bytes:
        return bytes([tag]) + struct.pack("<d", value)

    metrics = pb.AggregatedMetricsResponse(
        total_balance=1.5,
        total_equity=2.5,
        total_realized_pnl=-3.0,
        total_unrealized_pnl=4.0,
        total_fees=0.25,
        total_trades=300,
        last_sync=1000,
    )
    assert metrics.SerializeToString(deterministic=True) == (
        double(0x09, 1.5)
        + double(0x11, 2.5)
        + double(0x19, -3.0)
        + double(0x21, 4.0)
        + double(0x29, 0.25)
        + b"\x30\xac\x02"
        + b"\x38\xe8\x07"
    )
    snapshot = double(0x09, 1.0) + double(0x11, 2.0) + b"\x18\x07"
    job = pb.SyncJobResponse(
        success=True,
        user_uid="u",
        exchange="x",
        synced=5,
        hourly_returns_generated=6,
        latest_snapshot=pb.BalanceSnapshot(balance=1.0, equity=2.0, timestamp=7),
        error="e",
    )
    assert job.SerializeToString(deterministic=True) == (
        b"\x08\x01\x12\x01u\x1a\x01x\x20\x05\x28\x06\x32" + bytes([len(snapshot)]) + snapshot
        + b"\x3a\x01e"
    )  # fmt: skip
    hour = b"\x0a\x03now" + double(0x11, 1.0) + double(0x19, 2.0) + double(0x21, 3.0)
    returns = pb.HistoricalReturnsResponse(
        success=True,
        returns=[
            pb.HistoricalReturn(period="now", net_return=1.0, percentage_return=2.0, balance=3.0)
        ],
    )
    assert returns.SerializeToString(deterministic=True) == (
        b"\x08\x01\x12" + bytes([len(hour)]) + hour
    )
    health = pb.HealthCheckResponse(
        status=pb.HealthCheckResponse.UNHEALTHY, enclave=True, version="1", uptime=0.5
    )
    assert health.SerializeToString(deterministic=True) == (
        b"\x08\x01\x10\x01\x1a\x011" + double(0x21, 0.5)
    )
