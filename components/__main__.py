"""`python -m components`: write the catalogue of components anew."""

from components.catalogue import PAGE, page

if __name__ == "__main__":
    PAGE.write_text(page())
