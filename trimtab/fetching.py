"""How the fetch of a version ends: one reason and one exit code for each way to fail, for whoever starts the program and reads its end.

A sentence of the fetch begins with its reason. `Unavailable` and `NoSpace` may pass by themselves; the others somebody must mend.
"""

INVALID_CONFIGURATION = "InvalidConfiguration"
INVALID_URI = "InvalidUri"
NOT_FOUND = "NotFound"
INVALID_VERSION = "InvalidVersion"
TOO_LARGE = "TooLarge"
DIGEST_MISMATCH = "DigestMismatch"
SIGNATURE_MISMATCH = "SignatureMismatch"
UNAVAILABLE = "Unavailable"
NO_SPACE = "NoSpace"

FAULT = 1
EXIT_CODES = {
    INVALID_CONFIGURATION: 2,
    INVALID_URI: 3,
    NOT_FOUND: 4,
    INVALID_VERSION: 5,
    TOO_LARGE: 6,
    DIGEST_MISMATCH: 7,
    SIGNATURE_MISMATCH: 8,
    UNAVAILABLE: 9,
    NO_SPACE: 10,
}
"""The exit code of each reason; FAULT is any other end."""

LASTING = frozenset(code for reason, code in EXIT_CODES.items() if reason not in (UNAVAILABLE, NO_SPACE))
"""The exit codes after which trying again does not help."""


def exit_code(sentence: str) -> int:
    """The exit code for a sentence that begins with its reason."""
    return EXIT_CODES.get(sentence.partition(":")[0], FAULT)
