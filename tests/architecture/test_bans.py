"""Code inside a trust domain contains nothing that the domain bans."""

import pytest

from tests.architecture.bans import RULES, violations
from tests.architecture.source import ROOT, listing, modules_under
from tests.architecture.synthetic import module


def test_the_tree_breaks_no_ban() -> None:
    folders = [ROOT / "enclave", ROOT / "attestation", ROOT / "eif", ROOT / "host"]
    modules = [found for folder in folders for found in modules_under(folder)]
    assert any(m.in_package("strongroom_enclave.signer") for m in modules)
    assert listing(violations(modules)) == ""


_SIGNER = "strongroom_enclave.signer.orders"
_LINKS = "strongroom_enclave.platform.links"

BROKEN = [
    ("dynamic code", _SIGNER, "eval('1')"),
    ("dynamic code", _SIGNER, "run = exec"),
    ("dynamic code", _SIGNER, "__import__('os')"),
    ("dynamic code", _SIGNER, "import pickle"),
    ("dynamic code", _SIGNER, "from importlib import import_module"),
    ("dynamic code", _SIGNER, "def late():\n    import importlib.util"),
    ("dynamic code", "strongroom_enclave.platform.spawn", "import runpy"),
    ("processes", _SIGNER, "import subprocess"),
    ("processes", "strongroom_enclave.platform.nsm", "import os\nos.system('true')"),
    ("pickle by the back door", _SIGNER, "from multiprocessing.connection import Connection"),
    ("pickle by the back door", "strongroom_enclave.platform.nsm", "import multiprocessing"),
    ("pickle by the back door", _LINKS, "from multiprocessing.connection import Connection"),
    ("pickle by the back door", _LINKS, "from multiprocessing.reduction import ForkingPickler"),
    ("operating system", "strongroom_enclave.init.boot", "from socket import socket"),
    ("operating system", "strongroom_enclave.front.service", "import os"),
    ("operating system", _SIGNER, "import os.path"),
    ("operating system", "strongroom_wire.frames", "import ctypes"),
    ("TLS", _SIGNER, "import ssl"),
    ("TLS", "strongroom_enclave.init.boot", "import urllib.request"),
    ("TLS", "strongroom_enclave.record.connectors.session", "import requests"),
    ("TLS", "strongroom_enclave.enroll.service", "import http.client"),
    ("assert", _SIGNER, "def check(x):\n    assert x"),
    ("assert", "strongroom_attest.policy", "assert True"),
    ("output", _SIGNER, "print('key')"),
    ("output", _SIGNER, "import sys\nsys.stderr.write('key')"),
    ("output", "strongroom_enclave.init.boot", "import logging"),
    ("predictable randomness", "strongroom_local.nsm", "from random import randbytes"),
    ("sans-I/O", "strongroom_attest.nitro.live", "from datetime import datetime\ndatetime.now()"),
    ("sans-I/O", "strongroom_attest.nitro.live", "import datetime as d\nd.datetime.now()"),
    ("sans-I/O", "strongroom_attest.nitro.roots", "open('root.pem')"),
    ("sans-I/O", "strongroom_wire.frames", "import time"),
    ("float money", _SIGNER, "price = 0.57"),
    ("float money", "strongroom_wire.frames", "float('0.57')"),
]


@pytest.mark.parametrize(("rule", "name", "source"), BROKEN)
def test_each_ban_is_reported(rule: str, name: str, source: str) -> None:
    found = violations([module(name, source)])
    assert any(f"[{rule}:" in finding.message for finding in found)


def test_every_rule_has_a_breaking_example() -> None:
    assert {rule for rule, _, _ in BROKEN} == {rule.name for rule in RULES}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("strongroom_enclave.platform.nsm", "import fcntl, os, socket"),
        ("strongroom_enclave.platform.spawn", "import subprocess"),
        ("strongroom_enclave.http", "import http.client, ssl"),
        ("strongroom_enclave.tls", "import ssl\nfrom socket import socket"),
        ("strongroom_host.cli.main", "import os, subprocess\nprint(0.5)"),
        (_SIGNER, "import re\nre.compile('a')"),
        (_LINKS, "from socket import socket\nsocket(fileno=3).send(b'')"),
        (_SIGNER, "from strongroom_enclave.platform.links import Link"),
    ],
)
def test_exceptions_are_let_through(name: str, source: str) -> None:
    assert violations([module(name, source)]) == []
