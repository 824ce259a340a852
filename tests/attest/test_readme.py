"""The verifier's README is run, not trusted: its example verifies, its policy loads."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import strongroom_attest.nitro
from strongroom_attest import VerifiedLive
from strongroom_attest.nitro import NitroPolicy, Roots, load_policy, policy, roots

from tests.attest import pki
from tests.vectors.index import ROOT

README = (ROOT / "attestation" / "README.md").read_text()


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_example_verifies_a_live_document(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC) - timedelta(seconds=1)
    chain = pki.issue(pki.AWS_SHAPE, now.replace(microsecond=0))
    for module in (roots, policy):
        monkeypatch.setattr(
            module, "PRODUCTION_ROOTS", Roots.of_certificates(chain[0]).fingerprints
        )

    def ask_the_enclave(nonce: bytes) -> bytes:
        return pki.mint(chain=chain, nonce=nonce, timestamp=int(now.timestamp() * 1000))

    names: dict[str, object] = {
        "ask_the_enclave": ask_the_enclave,
        "pcr0": pki.PCRS[0],
        "pcr1": pki.PCRS[1],
        "pcr2": pki.PCRS[2],
        "manifest_pcr": pki.PCRS[16],
        "bundle_commitment": pki.USER_DATA,
    }
    exec(_block("python"), names)  # noqa: S102 - the README's own example
    assert isinstance(names["verified"], VerifiedLive)


def test_the_json_policy_loads() -> None:
    text = re.sub(r"<(this|or|96)[^>]*>", "00" * 48, _block("json")).replace("<hex>", "00")
    assert isinstance(load_policy(json.loads(text)), NitroPolicy)


def test_every_call_in_the_table_exists() -> None:
    calls = set(re.findall(r"`(\w+)\([^)]*\)`", README.split("## Policies")[0]))
    assert {"authenticate", "appraise", "verify_live", "verify_archived"} <= calls
    public = {*vars(strongroom_attest), *vars(strongroom_attest.nitro)}
    assert calls <= public
