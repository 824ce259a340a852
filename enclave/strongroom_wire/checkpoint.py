"""Log heads in the form that other tools read and witnesses cosign: C2SP tlog-checkpoint.

Here is the text that the enclave signs with Ed25519, and nothing more. Its signature and the name
of its key make a signed note of it, which anybody can put together, and the host does.
"""

from base64 import b64encode

from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.encoding import digest, u64
from strongroom_wire.errors import Malformed

_LOG = b"strongroom/log/v1"


def log_origin(owner_root: bytes, account: str, role: Role) -> str:
    """Returns the name of a log: its origin line, and the key name of its signatures.

    A log outlives its boots, manifests and changes of owners, so none of these is in the name. The
    account is: two accounts of the same owners are two logs, while two boots of one account that
    both extend it are a fork, and everybody who follows the name can see it. Owner root and account
    go in as a digest: the name discloses neither, and holds no character that a note forbids.
    """
    log = digest(_LOG, owner_root, account.encode()).hex()
    return f"strongroom.log/{role.name.lower()}/{log}"


def checkpoint_text(origin: str, head: LogHead) -> bytes:
    """Returns what a log signs to vouch for `head`: origin, size and root, a line each.

    It starts with a letter, and no packed value does (`encoding`: the length of a domain is far
    below 2**15), so one key may sign both. There are no extension lines: no monitor could check
    what they say.

    Raises:
        Malformed: `origin` is not visible ASCII without a plus, or the head is none.
    """
    visible = origin.isascii() and origin.isprintable() and not {" ", "+"} & {*origin}
    if not (origin[:1].isalpha() and visible and len(u64(head.size) + head.root) == 40):
        raise Malformed("checkpoint", "a visible origin, a root of 32 bytes", (origin, head))
    return f"{origin}\n{head.size}\n{b64encode(head.root).decode()}\n".encode()
