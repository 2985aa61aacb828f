"""The command line. Nothing heavy is imported here: `trimtab --help` answers at once."""

import sys

from trimtab.errors import InvalidInput, TrimtabError


def main() -> None:
    """Run `trimtab`: 0 where it worked, 2 where the input has to be mended, 1 where the world did not play along."""
    from trimtab.cli.app import app
    from trimtab.cli.output import complain

    try:
        app()
    except InvalidInput as error:
        complain(error)
        sys.exit(2)
    except TrimtabError as error:
        complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
