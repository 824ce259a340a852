"""Templates with holes: the host lays the request out ahead, the enclave fills in its two secrets.

The plain way to do that, writing a signature and an HMAC at offsets the host names into bytes the
host wrote, hands the host an oracle: an HMAC over any request of its choice (another path, another
order's expiration, a deletion of the API key). So nothing is computed from a template. The enclave
serialises the approved typed request itself, and a template passes only if it is that very request
with its secret ranges zeroed. What the host gains is the proof that what it prepared, framed and
padded for its sockets is byte for byte what was signed.
"""

import re
from collections.abc import Sequence
from hmac import compare_digest

from strongroom_enclave.signer import errors

# Unambiguous in a request of `clob`: its alphabets allow no quote or line break within a value.
_HMAC = re.compile(rb"(?<=\r\nPOLY_SIGNATURE: )[A-Za-z0-9_=-]{44}(?=\r\n)")
_SIGNATURE = re.compile(rb'(?<=,"signature":"0x)[0-9a-f]+(?=")')


def fill_template(template: bytes, offsets: Sequence[int], request: bytes) -> bytes:
    """Returns the final bytes after proving that `template` is `request` with its holes zeroed.

    `request` is the enclave's own, from `clob`. `offsets` are where the host believes the holes
    start: each order's signature (its hex after `0x`), then the HMAC. A zeroed hole is ASCII `0`
    throughout, at its full length: 130 hex digits for an EOA, more for a Deposit Wallet, 44
    characters for the HMAC.

    Comparison is in constant time: the header carries the passphrase, and a host that has not been
    told it must not find it byte by byte.

    Raises:
        HoleMismatch: other holes, fewer, more, or in another order.
        HoleNotZeroed: a hole is not all zeros.
        TemplateMismatch: another length, or a difference outside the holes.
    """
    holes = [match.span() for hole in (_SIGNATURE, _HMAC) for match in hole.finditer(request)]
    expected, given, size = [start for start, _ in holes], list(offsets), len(request)
    errors.HoleMismatch.unless(given == expected, "hole offsets", expected, given)
    errors.TemplateMismatch.unless(len(template) == size, "template", size, len(template))
    blank = bytearray(request)
    for start, end in holes:
        blank[start:end] = zeros = b"0" * (end - start)
        errors.HoleNotZeroed.unless(template[start:end] == zeros, "hole", "zeros", (start, end))
    same = compare_digest(template, blank)
    errors.TemplateMismatch.unless(same, "outside the holes", "the approved request", "another")
    return request
