"""The guide: its files are there, its examples parse, its policies hold, its commands run."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from strongroom_attest.nitro.roots import AWS_NITRO_ROOT_G1_SHA256
from strongroom_host.trust.record import Image, Trust

DEPLOY = Path(__file__).resolve().parents[3] / "host" / "deploy"
GUIDE = (DEPLOY / "README.md").read_text()
POLICIES = sorted((DEPLOY / "aws").glob("*.json"))
DIGEST = "ab" * 48


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", GUIDE, re.DOTALL)


def statements() -> dict[str, dict[str, Any]]:
    policy = json.loads((DEPLOY / "aws" / "kms-key-policy.json").read_text())
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def actions(statement: dict[str, Any]) -> set[str]:
    found = statement["Action"]
    return {found} if isinstance(found, str) else set(found)


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_every_policy_is_json_of_the_current_language(path: Path) -> None:
    policy = json.loads(path.read_text())
    assert policy["Version"] == "2012-10-17"
    for statement in policy["Statement"]:
        assert statement["Effect"] in ("Allow", "Deny")
        assert statement["Sid"].isalnum()


def test_nothing_unwraps_without_the_image() -> None:
    reading = {"kms:Decrypt", "kms:ReEncryptFrom", "kms:CreateGrant", "kms:*", "*"}
    for statement in statements().values():
        if statement["Effect"] == "Allow" and actions(statement) & reading:
            compared = statement["Condition"]["StringEqualsIgnoreCase"]
            registers = {name.rpartition(":")[2] for name in compared}
            assert registers >= {"PCR0", "PCR1", "PCR2", "PCR3", "PCR8"}
            assert actions(statement) == {"kms:Decrypt"}
            assert statement["Principal"] != "*"


def test_one_deny_outweighs_every_allow_that_somebody_adds() -> None:
    [deny] = [found for found in statements().values() if found["Effect"] == "Deny"]
    assert deny["Principal"] == "*"
    assert actions(deny) >= {"kms:Decrypt", "kms:ReEncryptFrom", "kms:CreateGrant"}
    # A negated comparison also holds where the value is absent: a request without a document.
    [(operator, compared)] = deny["Condition"].items()
    assert operator == "StringNotEqualsIgnoreCase"
    allowed = statements()["TheEnclaveUnwraps"]["Condition"]["StringEqualsIgnoreCase"]
    name = "kms:RecipientAttestation:PCR0"
    assert compared == {name: allowed[name]}


def test_no_answer_is_taken_that_the_host_could_forge() -> None:
    for statement in statements().values():
        if statement["Effect"] == "Allow":
            assert not any("Generate" in action for action in actions(statement))


def test_no_policy_accepts_a_debug_enclave() -> None:
    assert not any("0" * 96 in path.read_text() for path in POLICIES)


def test_the_role_is_for_instances_alone() -> None:
    policy = json.loads((DEPLOY / "aws" / "instance-role-trust.json").read_text())
    [statement] = policy["Statement"]
    assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}


def test_every_file_of_the_table_exists_and_every_file_is_in_it() -> None:
    named = set(re.findall(r"^\| `([^`]+)` \|", GUIDE, re.MULTILINE)) & {
        str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*") if path.is_file()
    }
    there = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*") if path.is_file()}
    assert named == there - {"README.md"}


def test_the_trust_file_takes_the_registers_that_the_guide_pins() -> None:
    [text] = blocks("json")
    pinned = json.loads(text)["other_pcrs"]
    digests = dict.fromkeys(pinned, DIGEST)
    image = Image("test", DIGEST, DIGEST, DIGEST)
    roots = (AWS_NITRO_ROOT_G1_SHA256.hex(),)
    trust = Trust("strongroom-trust/1", "production", roots, (image,), None, None, digests).check()
    assert Trust.parse(trust.serialise()) == trust


@pytest.mark.parametrize(
    "line", [line for block in blocks("sh") for line in block.splitlines() if "python -c" in line]
)
def test_the_registers_are_computed_by_what_the_guide_says(line: str) -> None:
    words = shlex.split(line)
    assert words[:2] == ["python", "-c"]
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"[0-9a-f]{96}\n", done.stdout)
