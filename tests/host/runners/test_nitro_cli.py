"""nitro-cli: what it is asked, what its answers and its failures are taken for."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from strongroom_host.runners.nitro_advice import advise
from strongroom_host.runners.nitro_cli import (
    Described,
    NitroCli,
    NitroCliFailed,
    NitroCliMissing,
    NitroCliSilent,
    NitroCliUnreadable,
    RunRequest,
)

from tests.fakes.nitro_cli import Plan
from tests.host.runners.instances import Instance, instance

NAME = "strongroom-test"


@pytest.fixture
def aws(short: Path) -> Iterator[Instance]:
    with instance(short) as found:
        yield found


def request(aws: Instance, **more: Any) -> RunRequest:
    plain = RunRequest(str(aws.image.path), NAME, memory_mib=64, cpus=2)
    return dataclasses.replace(plain, **more)


def failure(aws: Instance, **more: Any) -> NitroCliFailed:
    with pytest.raises(NitroCliFailed) as failed:
        NitroCli(aws.program).run(request(aws, **more)).result(30)
    assert aws.fake.machines() == []
    return failed.value


def test_a_machine_is_started_described_and_ended(aws: Instance) -> None:
    cli = NitroCli(aws.program)
    started = cli.run(request(aws, cid=77)).result(30)
    assert started.enclave_cid == 77
    [described] = cli.describe()
    assert described.enclave_id == started.enclave_id
    assert described.process_id == started.process_id
    assert described.enclave_name == NAME
    assert described.running
    assert not described.in_debug_mode
    assert described.pcrs == {i: v for i, v in aws.image.pcrs.items() if any(v)}
    cli.terminate(started.enclave_id)
    assert cli.describe() == ()
    cli.terminate(started.enclave_id)  # what is gone is ended
    words = aws.fake.calls()[0]
    assert words[0] == "run-enclave"
    assert dict(zip(words[1::2], words[2::2], strict=True)) == {
        "--eif-path": str(aws.image.path),
        "--enclave-name": NAME,
        "--memory": "64",
        "--cpu-count": "2",
        "--enclave-cid": "77",
    }


def test_debug_mode_is_asked_for_in_so_many_words(aws: Instance) -> None:
    assert "--debug-mode" not in request(aws).words
    assert "--debug-mode" in request(aws, debug=True).words


@pytest.mark.parametrize(
    ("more", "code", "remedy"),
    [
        ({"memory_mib": 3}, "E26", "--memory 4"),
        ({"memory_mib": 4096}, "E27", "allocator.yaml"),
        ({"cpus": 4}, "E22", "cpu_count"),
        ({"cid": 2}, "E29", "--cid"),
        ({"image": "/nowhere/image.eif"}, "E19", "/nowhere/image.eif"),
    ],
)
def test_what_the_instance_cannot_do_comes_with_what_to_do(
    aws: Instance, more: dict[str, object], code: str, remedy: str
) -> None:
    failed = failure(aws, **more)
    assert failed.code == code
    assert remedy in failed.remedy
    assert failed.exit_status == 5


def test_memory_that_an_earlier_machine_holds_is_named_as_that(aws: Instance) -> None:
    cli = NitroCli(aws.program)
    cli.run(request(aws, memory_mib=1000, cpus=1)).result(30)
    with pytest.raises(NitroCliFailed) as failed:
        cli.run(request(aws, memory_mib=64, cpus=1)).result(30)
    assert failed.value.code == "E27"
    assert "earlier boot" in failed.value.remedy


@pytest.mark.parametrize(
    ("code", "file", "reason", "remedy"),
    [
        ("E19", "/dev/nitro_enclaves", "Os { code: 13, kind: PermissionDenied }", "group ne"),
        ("E19", "/dev/nitro_enclaves", "Os { code: 2, kind: NotFound }", "EnclaveOptions"),
        ("E19", "/sys/module/nitro_enclaves/parameters/ne_cpus", "No such file", "modprobe"),
        ("E19", "/var/log/nitro_enclaves/nitro_enclaves.log", "x", "chown"),
        ("E29", "", "... no CPUs are available in the pool", "cpu_count"),
        ("E29", "", "... pages and the CPUs belong to different NUMA nodes", "NUMA"),
        ("E29", "", "something else", "dmesg"),
        ("E07", "", "x", "/run/nitro_enclaves"),
        ("E36", "", "VsockTimeoutError", "signing certificate"),
        ("E39", "", "x", "nitro_enclaves.log"),
        ("E42", "", "x", "memory_mib"),
        ("E57", "", "x", "explain --error-code E57"),
        ("E59", "", "x", "strongroom eif sign"),
    ],
)
def test_each_documented_failure_has_its_advice(
    aws: Instance, code: str, file: str, reason: str, remedy: str
) -> None:
    aws.fake.plan(Plan(fail={"run-enclave": code}, file=file, reason=reason))
    failed = failure(aws)
    assert failed.code == code, "the first code counts, not what follows from it"
    assert remedy in failed.remedy
    assert reason in str(failed.actual)


def test_words_without_a_code_are_passed_on(aws: Instance) -> None:
    assert advise("error: unexpected argument '--enclave-name'\n\nUsage: x").said.startswith(
        "unexpected argument"
    )
    assert advise("").remedy
    assert "\x1b" not in advise("[ E36 ] \x1b[2J" + "x" * 5000).said
    assert len(advise("[ E36 ] " + "x" * 5000).said) <= 300


def test_a_machine_that_is_not_ended_is_a_failure(aws: Instance) -> None:
    cli = NitroCli(aws.program)
    started = cli.run(request(aws)).result(30)
    aws.fake.plan(Plan(fail={"terminate-enclave": "E11"}))
    with pytest.raises(NitroCliFailed):  # E11, yet it is listed
        cli.terminate(started.enclave_id)
    aws.fake.plan(Plan())
    cli.terminate(started.enclave_id)


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"EnclaveID": 5}', '{"EnclaveID": "i"}'])
def test_an_answer_of_another_shape_is_refused(aws: Instance, garbage: str) -> None:
    aws.fake.plan(Plan(garbage={"run-enclave": garbage or " "}))
    with pytest.raises(NitroCliUnreadable):
        NitroCli(aws.program).run(request(aws)).result(30)
    aws.fake.plan(Plan(garbage={"describe-enclaves": garbage if garbage != "[]" else "{}"}))
    if garbage:
        with pytest.raises(NitroCliUnreadable):
            NitroCli(aws.program).describe()


@pytest.mark.parametrize("value", ["", "00", "zz" * 48, "00" * 47, "00" * 49, "+0" + "00" * 47])
def test_a_measurement_is_48_bytes_in_hex(value: str) -> None:
    described = msgspec.convert(
        {
            "EnclaveID": "i", "ProcessID": 1, "EnclaveCID": 16, "State": "RUNNING",
            "Flags": "NONE", "Measurements": {"HashAlgorithm": "Sha384 { ... }", "PCR0": value},
        },
        Described,
    )  # fmt: skip
    with pytest.raises(NitroCliUnreadable):
        _ = described.pcrs


def test_a_flag_nobody_knows_counts_as_debug_mode() -> None:
    assert Described("i", 1, 16, "RUNNING", "NEW_FLAG").in_debug_mode


def test_no_nitro_cli_is_said_with_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NitroCliMissing) as missing:
        NitroCli(str(tmp_path / "nitro-cli")).describe()
    assert "aws-nitro-enclaves-cli" in missing.value.remedy
    assert "--platform qemu" in missing.value.remedy


def test_one_that_hangs_is_given_up_and_ended(tmp_path: Path) -> None:
    program = tmp_path / "nitro-cli"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    with pytest.raises(NitroCliSilent):
        NitroCli(str(program), timeout=0.2).describe()
