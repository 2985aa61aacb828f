"""The predictor's C is compiled once for a user, and taken from no folder that others can write to."""

import pytest

from serving.predictor import native
from trimtab.errors import Unavailable


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native.library.cache_clear()
    yield tmp_path / "trimtab"
    native.library.cache_clear()


def anew():
    native.library.cache_clear()
    return native.library()


def test_a_second_process_compiles_nothing(cache, monkeypatch):
    assert anew()
    (kept,) = cache.iterdir()
    monkeypatch.setenv("PATH", "")
    assert anew()
    assert list(cache.iterdir()) == [kept]
    assert cache.stat().st_mode & 0o077 == 0


def test_other_sources_are_compiled_anew(cache, monkeypatch):
    assert anew()
    monkeypatch.setattr(native, "COMPILER", (*native.COMPILER, "-DOTHER"))
    assert anew()
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda folder: (folder.mkdir(), folder.chmod(0o777)), id="a folder that others can write to"),
        pytest.param(lambda folder: folder.write_text("no folder"), id="a file where the folder would be"),
    ],
)
def test_where_no_folder_is_the_users_alone_it_is_compiled_and_kept_nowhere(cache, spoil):
    spoil(cache)
    assert anew()
    assert cache.is_file() or not list(cache.iterdir())


def test_without_a_home_nothing_is_written_where_one_happens_to_be(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "~nobody-of-that-name/cache")
    monkeypatch.chdir(tmp_path)
    assert anew()
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_compile_is_a_sentence_and_leaves_nothing(cache, monkeypatch):
    monkeypatch.setattr(native, "COMPILER", (*native.COMPILER, "--no-such-option"))
    with pytest.raises(Unavailable, match="does not compile"):
        anew()
    assert list(cache.iterdir()) == []


def test_without_a_compiler_it_is_said(cache, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="no C compiler"):
        anew()
    assert list(cache.iterdir()) == []
