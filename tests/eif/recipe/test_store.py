"""The cache: only the pinned bytes are handed out, wherever they come from and whatever happens."""

import errno
import hashlib
import multiprocessing
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_eif.recipe import errors, fetch, store
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.store import Store, default_cache, mirrors

from tests.eif.recipe.checkout import PINS
from tests.eif.recipe.debs import file, pin
from tests.eif.recipe.mirror import Mirror, serving

DATA = b"the pinned bytes" * 1_000
DIGEST = hashlib.sha256(DATA).hexdigest()
PATH = "pool/main/s/sample/sample_1_all.deb"
NAME = "sample_1_all.deb"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving() as found:
        yield found


def opened(tmp_path: Path, *found: Mirror, **more: object) -> Store:
    urls = tuple(one.url for one in found)
    return Store(tmp_path / "cache", mirrors=urls, **more)  # type: ignore[arg-type]


def get(opened: Store, size: int | None = len(DATA)) -> Path:
    return opened.file(sha256=DIGEST, size=size, urls=(PATH,), name=NAME)


def leftovers(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").rglob("*") if path.name.startswith(".landing")]


# --- Fetching ------------------------------------------------------------------------------------


def test_fetched_once_then_cached(tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH] = DATA
    lines: list[str] = []
    opened_store = opened(tmp_path, mirror, progress=lines.append)
    assert get(opened_store).read_bytes() == DATA
    assert get(opened_store) == get(opened(tmp_path, offline=True))
    assert mirror.asked == [PATH]
    assert leftovers(tmp_path) == []


def test_a_package_is_fetched_by_its_pin(tmp_path: Path, mirror: Mirror) -> None:
    package = pin(tmp_path, "sample", file("./a"))
    mirror.files[package.path] = (tmp_path / package.sha256).read_bytes()
    found = opened(tmp_path, mirror).package(package)
    assert found.read_bytes() == mirror.files[package.path]


def test_mirrors_are_asked_in_order(tmp_path: Path, mirror: Mirror) -> None:
    with serving() as second:
        second.files[PATH] = DATA
        assert get(opened(tmp_path, mirror, second)).read_bytes() == DATA
        assert (mirror.asked, second.asked) == ([PATH], [PATH])


def test_a_mirror_that_lies_is_passed_over(tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH] = DATA[::-1]
    with serving() as second:
        second.files[PATH] = DATA
        assert get(opened(tmp_path, mirror, second)).read_bytes() == DATA


def test_a_dropped_connection_is_tried_again(tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH], mirror.failures = DATA, 2
    assert get(opened(tmp_path, mirror)).read_bytes() == DATA


def test_other_bytes_are_refused(tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH] = DATA[:-1] + b"!"
    with pytest.raises(errors.InputDigestMismatch) as caught:
        get(opened(tmp_path, mirror))
    assert DIGEST in str(caught.value.expected)
    assert hashlib.sha256(mirror.files[PATH]).hexdigest() in str(caught.value.actual)
    assert mirror.url in str(caught.value)
    assert not list((tmp_path / "cache/sha256").rglob(DIGEST))
    assert leftovers(tmp_path) == []


def test_what_the_archive_dropped(tmp_path: Path, mirror: Mirror) -> None:
    with serving() as second, pytest.raises(errors.InputGone) as caught:
        get(opened(tmp_path, mirror, second))
    assert NAME in str(caught.value)
    assert DIGEST in str(caught.value.expected)
    assert "INPUTS=DIR with make image" in caught.value.remedy
    assert "STRONGROOM_CACHE" in caught.value.remedy


def test_a_server_in_trouble_is_not_a_dropped_file(tmp_path: Path, mirror: Mirror) -> None:
    mirror.status[PATH] = 503
    with serving() as second, pytest.raises(errors.InputUnreachable, match="cannot fetch"):
        get(opened(tmp_path, mirror, second))


def test_no_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    dead = Store(tmp_path / "cache", mirrors=(f"http://127.0.0.1:{port}",))
    with pytest.raises(errors.InputUnreachable) as caught:
        get(dead)
    assert "STRONGROOM_DEBIAN_MIRROR" in caught.value.remedy
    assert "refused" in str(caught.value.actual)


def test_no_server_to_ask(tmp_path: Path) -> None:
    with pytest.raises(errors.InputUnreachable):
        get(Store(tmp_path / "cache", mirrors=()))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data://x"])
def test_only_http_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(errors.InputMissing) as caught:
        Store(tmp_path / "cache").file(sha256=DIGEST, size=None, urls=(url,), name=NAME)
    assert "neither http nor https" in str(caught.value.actual)


# --- Sizes ---------------------------------------------------------------------------------------


def test_a_size_announced_wrong_is_refused_unread(tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH], mirror.declared[PATH] = DATA, 1 << 40
    with pytest.raises(errors.InputSizeMismatch) as caught:
        get(opened(tmp_path, mirror))
    assert caught.value.actual == f"{1 << 40} bytes"
    assert caught.value.code == "input-size"


def test_more_than_the_size_is_not_read(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_PIECE", 64)
    mirror.files[PATH], mirror.declared[PATH] = DATA * 50, None
    opened_store = opened(tmp_path, mirror)
    with pytest.raises(errors.InputSizeMismatch):
        get(opened_store)
    assert opened_store.fetched() == "0.0 MB"


def test_without_a_size_a_gigabyte_is_the_limit(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.files[PATH], mirror.declared[PATH] = DATA, None
    assert get(opened(tmp_path, mirror), None).read_bytes() == DATA
    monkeypatch.setattr(store, "MAX_INPUT_BYTES", 100)
    with pytest.raises(errors.InputSizeMismatch):
        get(opened(tmp_path / "other", mirror), None)


def test_less_than_was_announced(tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH], mirror.declared[PATH] = DATA[:500], len(DATA)
    with pytest.raises(errors.InputUnreachable, match="cannot fetch"):
        get(opened(tmp_path, mirror))
    assert len(mirror.asked) == 3


def test_less_than_the_size(tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH] = DATA[:500]
    with pytest.raises(errors.InputSizeMismatch):
        get(opened(tmp_path, mirror))


# --- Inputs directories, and the network switched off -------------------------------------------


@pytest.mark.parametrize("place", [DIGEST, NAME, f"sha256/{DIGEST[:2]}/{DIGEST}"])
def test_inputs_directories_come_before_the_network(
    tmp_path: Path, mirror: Mirror, place: str
) -> None:
    inputs = tmp_path / "inputs"
    (inputs / place).parent.mkdir(parents=True)
    (inputs / place).write_bytes(DATA)
    found = get(opened(tmp_path, mirror, inputs=[tmp_path, inputs]))
    assert found.read_bytes() == DATA
    assert found.is_relative_to(tmp_path / "cache")
    assert mirror.asked == []


def test_a_file_of_the_name_with_other_bytes_does_not_count(tmp_path: Path, mirror: Mirror) -> None:
    (tmp_path / NAME).write_bytes(DATA[::-1])
    mirror.files[PATH] = DATA
    assert get(opened(tmp_path, mirror, inputs=[tmp_path])).read_bytes() == DATA


def test_a_misspelt_inputs_directory(tmp_path: Path) -> None:
    with pytest.raises(errors.InputsDirectoryMissing):
        Store(tmp_path, inputs=[tmp_path / "absent"])


def test_offline(tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH] = DATA
    with pytest.raises(errors.InputMissing) as caught:
        get(opened(tmp_path, mirror, offline=True))
    assert mirror.asked == []
    assert DIGEST in str(caught.value.expected)


# --- Damage --------------------------------------------------------------------------------------


def damage(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"X" + path.read_bytes()[1:])


def test_a_damaged_cache_entry_is_fetched_again(tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH] = DATA
    lines: list[str] = []
    opened_store = opened(tmp_path, mirror, progress=lines.append)
    damage(get(opened_store))
    assert get(opened_store).read_bytes() == DATA
    assert lines == [f"{NAME} is damaged in the cache; getting it anew"]
    assert len(mirror.asked) == 2


def test_a_damaged_cache_entry_is_refused_offline(tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH] = DATA
    damage(get(opened(tmp_path, mirror)))
    with pytest.raises(errors.InputDigestMismatch, match="damaged"):
        get(opened(tmp_path, offline=True))


def test_add_proves_the_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    opened_store = Store(tmp_path / "cache")
    assert opened_store.add(tmp_path / "a", DIGEST).read_bytes() == DATA
    (tmp_path / "a").write_bytes(DATA + b"!")
    with pytest.raises(errors.InputDigestMismatch):
        opened_store.add(tmp_path / "a", "0" * 64)
    with pytest.raises(errors.InputMissing):
        opened_store.add(tmp_path / "absent", DIGEST)


@pytest.mark.parametrize("digest", ["", "../" * 20, DIGEST.upper(), DIGEST + "0"])
def test_what_is_no_digest_never_becomes_a_path(tmp_path: Path, digest: str) -> None:
    with pytest.raises(errors.InputDigestMismatch, match="no SHA-256"):
        Store(tmp_path).file(sha256=digest, size=1, urls=(PATH,), name=NAME)
    with pytest.raises(errors.InputDigestMismatch, match="no SHA-256"):
        Store(tmp_path).add(tmp_path, digest)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, errors.DiskFull),
        (errno.EDQUOT, errors.DiskFull),
        (errno.EROFS, errors.CacheUnusable),
        (errno.EACCES, errors.CacheUnusable),
    ],
)
def test_what_the_disk_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "a").write_bytes(DATA)
    monkeypatch.setattr(shutil, "copyfileobj", fails)
    with pytest.raises(error):
        Store(tmp_path / "cache").add(tmp_path / "a", DIGEST)
    assert leftovers(tmp_path) == []


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(errors.DiskFull) as caught:
        Store(tmp_path).built("kind", "key", lambda place: write_to_a_full_disk(place))
    assert "STRONGROOM_CACHE" in caught.value.remedy
    assert not (tmp_path / "slots/kind/key").exists()


def write_to_a_full_disk(_: Path) -> None:
    with Path("/dev/full").open("wb", buffering=0) as stream:
        stream.write(b"x")


# --- Results -------------------------------------------------------------------------------------


def made(text: str) -> "Maker":
    return Maker(text)


class Maker:
    def __init__(self, text: str) -> None:
        self.text, self.calls = text, 0

    def __call__(self, place: Path) -> None:
        self.calls += 1
        assert list(place.iterdir()) == []
        (place / "deep").mkdir()
        (place / "deep/file").write_text(self.text)
        (place / "link").symlink_to("deep/file")


def test_a_result_is_built_once(tmp_path: Path) -> None:
    make = made("a")
    opened_store = Store(tmp_path)
    place = opened_store.built("kernel", DIGEST, make)
    assert (
        opened_store.built("kernel", DIGEST, make) == place == opened_store.slot("kernel", DIGEST)
    )
    assert (place / "link").read_text() == "a"
    assert make.calls == 1
    opened_store.built("kernel", DIGEST, make, fresh=True)
    opened_store.built("kernel", "0" * 64, make)
    assert make.calls == 3


def content(place: Path) -> None:
    (place / "deep/file").write_text("b")


def mode(place: Path) -> None:
    (place / "deep/file").chmod(0o755)


def target(place: Path) -> None:
    (place / "link").unlink()
    (place / "link").symlink_to("/etc/passwd")


def addition(place: Path) -> None:
    (place / "more").mkdir()


def removal(place: Path) -> None:
    (place / "link").unlink()


def seal(place: Path) -> None:
    place.with_name(f"{place.name}.seal").unlink()


@pytest.mark.parametrize("change", [content, mode, target, addition, removal, seal])
def test_a_result_that_was_changed_is_built_again(tmp_path: Path, change: object) -> None:
    make = made("a")
    place = Store(tmp_path).built("kernel", DIGEST, make)
    change(place)  # type: ignore[operator]
    assert Store(tmp_path).built("kernel", DIGEST, make) == place
    assert make.calls == 2
    assert (place / "link").read_text() == "a"


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fails(place: Path) -> None:
        (place / "half").touch()
        raise errors.BuildFailed("no")

    with pytest.raises(errors.BuildFailed):
        Store(tmp_path).built("kernel", DIGEST, fails)
    left = [path.name for path in (tmp_path / "slots/kernel").iterdir()]
    assert left == [f".{DIGEST}.lock"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "x" * 101])
def test_slots_are_named_plainly(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.CacheUnusable):
        Store(tmp_path).slot(name, DIGEST)
    with pytest.raises(errors.CacheUnusable):
        Store(tmp_path).slot("kernel", name)


def build_in_a_process(cache: Path, mark: Path) -> None:
    def make(place: Path) -> None:
        with mark.open("a") as stream:
            stream.write("built\n")
        (place / "file").write_text("a")

    Store(cache).built("kernel", DIGEST, make)


def test_two_processes_build_one_result(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    mark = tmp_path / "mark"
    both = [
        context.Process(target=build_in_a_process, args=(tmp_path / "cache", mark)) for _ in "ab"
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    assert mark.read_text() == "built\n"


# --- Where ---------------------------------------------------------------------------------------


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STRONGROOM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache/strongroom"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_cache() == Path("/x/strongroom")
    monkeypatch.setenv("STRONGROOM_CACHE", "/own")
    assert default_cache() == Path("/own")


def test_an_own_mirror_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_DEBIAN_MIRROR", "http://mirror.example/debian/")
    assert mirrors() == ("http://mirror.example/debian", *store.DEFAULT_MIRRORS)
    monkeypatch.delenv("STRONGROOM_DEBIAN_MIRROR")
    assert mirrors() == store.DEFAULT_MIRRORS
    pins = Pins.load(PINS)
    assert mirrors(pins) == (*store.DEFAULT_MIRRORS, *pins.snapshots())


def test_a_server_that_never_answers_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dead = Store(tmp_path, mirrors=(f"http://127.0.0.1:{silent.getsockname()[1]}",))
        with pytest.raises(errors.InputUnreachable, match="cannot fetch") as caught:
            get(dead)
        assert "timed out" in str(caught.value.actual)
        silent.settimeout(5)
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()
