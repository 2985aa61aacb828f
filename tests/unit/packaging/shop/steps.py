"""What this pipeline does beside Trimtab's own steps."""


def features(text: str) -> str:
    """The text as it is."""
    return text
