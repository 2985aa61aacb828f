"""The errors a person sees: each is one sentence that says what is wrong, where, and what is allowed.

Everything that a user can mend is an `InvalidInput` (exit code 2, HTTP 4xx); what the machine or the network did is an
`Unavailable` (worth trying again). Third-party exceptions stay inside the adapter that met them.
"""


class TrimtabError(Exception):
    """The root of every error that Trimtab raises on purpose."""


class InvalidInput(TrimtabError):
    """A document, a file, an event or an option that cannot be used as it is."""


class Unavailable(TrimtabError):
    """A part of the world did not answer; the same call may work later."""


class Conflict(TrimtabError):
    """A compare-and-swap lost, or an object of that name exists already."""
