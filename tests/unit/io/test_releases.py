import hashlib
from datetime import date
from pathlib import Path

import pytest

from icploop.errors import RefusedError
from icploop.io.home import Home
from icploop.io.releases import Releases

DAY = date(2024, 3, 1)


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(Home(tmp_path), "default")


def build(releases: Releases, version: str, text: str, day: date = DAY) -> str:
    return releases.build(version, day, lambda folder: _write(folder, text))


def _write(folder: Path, text: str) -> None:
    (folder / "targets.csv").write_text(text)


def test_a_release_is_numbered_and_read_through_the_link(releases: Releases):
    names = [build(releases, "1", "a"), build(releases, "2", "b")]
    assert names == ["00001-v1-2024-03-01", "00002-v2-2024-03-01"]
    assert releases.current() is None
    for name, text in zip(names, "ab", strict=True):
        releases.point_to(name)
        assert releases.current() == name
        assert (releases.published / "targets.csv").read_text() == text


def test_the_same_to_the_byte_is_not_released_twice(releases: Releases):
    first = build(releases, "1", "a")
    assert build(releases, "1", "a") == first
    assert build(releases, "1", "a", date(2024, 3, 2)) != first
    assert build(releases, "1", "b") == "00003-v1-2024-03-01"


def test_what_failed_half_way_does_not_appear_and_is_cleared_away(releases: Releases):
    def fails(folder: Path) -> None:
        _write(folder, "half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        releases.build("1", DAY, fails)
    assert [path.name for path in releases.folder.iterdir()] == [".00001-v1-2024-03-01.part"]
    assert build(releases, "1", "a") == "00001-v1-2024-03-01"
    assert [path.name for path in releases.folder.iterdir()] == ["00001-v1-2024-03-01"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "altered",
            r"targets\.csv was altered after it was published; publish anew with `icp publ",
        ),
        ("gone", "is not whole: .*publish anew with `icp publish`"),
        ("no manifest", "is not whole"),
        ("altered with its manifest", r"release\.json was altered after it was published"),
        ("a file beside it", r"more\.csv does not belong to what was published; take it away"),
    ],
)
def test_a_release_that_is_not_what_was_built_is_refused(
    releases: Releases, change: str, told: str
):
    name = build(releases, "1", "a")
    hashed, folder = releases.hash_of(name), releases.folder / name
    assert list(releases.verify(name, hashed)) == ["targets.csv"]
    file, manifest = folder / "targets.csv", folder / "release.json"
    if change == "gone":
        file.unlink()
    elif change == "no manifest":
        manifest.unlink()
    elif change == "a file beside it":
        (folder / "more.csv").write_text("other")
    else:
        was = hashlib.sha256(file.read_bytes()).hexdigest()
        file.write_text("other")
        if change == "altered with its manifest":
            right = hashlib.sha256(b"other").hexdigest()
            manifest.write_text(manifest.read_text().replace(was, right))
    with pytest.raises(RefusedError, match=told):
        releases.verify(name, hashed)


def test_of_many_the_newest_and_those_to_keep_stay(releases: Releases):
    names = [build(releases, version, str(n)) for n, version in enumerate("1112223")]
    releases.prune(keep={names[2], names[5]}, newest=1)
    left = sorted(path.name for path in releases.folder.iterdir())
    assert left == [names[2], names[5], names[6]]
