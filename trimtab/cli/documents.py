"""`trimtab init`: a first Model document from the data, with what was guessed said out loud."""

from pathlib import Path

from trimtab.cli.output import print_json
from trimtab.documents import parse_model
from trimtab.errors import InvalidInput


def init_document(data: Path, out: Path, name: str | None, label: str | None, *, force: bool, as_json: bool) -> None:
    """Inspect the rows, write the document, and say what was guessed and why; writes nothing where the data cannot be used."""
    from trimtab.training.inspect import document, inspect

    if out.exists() and not force:
        msg = f"{str(out)!r} exists; replace it with --force or name another file with --out"
        raise InvalidInput(msg)
    guess = inspect(data, label)
    text = document(guess, name, out.parent)
    model = parse_model(text, str(out))
    try:
        out.write_text(text)
    except OSError as error:
        msg = f"{str(out)!r} cannot be written: {error.strerror}"
        raise InvalidInput(msg) from error
    if as_json:
        print_json({"document": str(out), "name": model.name, "guessed": guess.sentences})
        return
    print(f"wrote {out} for the model {model.name!r}")
    for sentence in guess.sentences:
        print(f"  {sentence}")
    print(f"next: trimtab local up {out}")
