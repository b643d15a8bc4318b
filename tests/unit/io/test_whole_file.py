"""What is written appears whole or not at all, through no link, and below a home for its owner."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from icploop.errors import DataError, UnavailableError, UsageError
from icploop.io.frames import batches_to, writer_to
from icploop.io.home import Home, create
from icploop.io.password import new_ticket, password_of
from icploop.io.whole_file import private_folder, text_to

MANY = pd.DataFrame({"account_id": [str(number) for number in range(20_000)]})
_BATCH = pa.RecordBatch.from_pandas(MANY)


def _frames(path: Path) -> None:
    with writer_to(path) as write:
        write(MANY)


def _batches(path: Path) -> None:
    with batches_to(path) as write:
        write(_BATCH)


def _text(path: Path) -> None:
    text_to(path, "x" * 100_000)


WRITERS = [
    (_frames, ".csv"),
    (_frames, ".parquet"),
    (_frames, ".json"),
    (_batches, ".csv"),
    (_batches, ".parquet"),
    (_text, ".html"),
]


@contextmanager
def room_for(size: int):
    """A disk on which no file grows larger, as far as this process is concerned."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def umask(mask: int):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize(("write", "ending"), WRITERS)
def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path, write, ending):
    path = tmp_path / f"out{ending}"
    path.write_text("good")
    with room_for(4_096), pytest.raises(UnavailableError, match="make room on the disk"):
        write(path)
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]
    assert UnavailableError.exit_status == 3


@pytest.mark.parametrize(("write", "ending"), WRITERS)
@pytest.mark.parametrize("leads_to", ["there", "nowhere"])
def test_nothing_is_written_through_a_link(tmp_path, write, ending, leads_to):
    target, link = tmp_path / f"target{ending}", tmp_path / f"link{ending}"
    if leads_to == "there":
        target.write_text("somebody else's")
    link.symlink_to(target)
    with pytest.raises(UsageError, match=r"is a link to .*name the file that is meant"):
        write(link)
    assert link.is_symlink()
    assert not target.exists() or target.read_text() == "somebody else's"


def test_a_folder_that_is_a_link_is_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "disk")
    text_to(tmp_path / "folder" / "page.html", "whole")
    assert (tmp_path / "disk" / "page.html").read_text() == "whole"


@pytest.mark.parametrize(("write", "ending"), WRITERS)
def test_below_a_home_a_file_is_its_owners_whatever_the_umask(tmp_path, write, ending):
    (tmp_path / "home" / "conf").mkdir(parents=True)
    (tmp_path / "home" / "conf" / "icp.yaml").touch()
    inside, outside = tmp_path / "home" / f"a{ending}", tmp_path / f"a{ending}"
    for mask, expected in ((0o000, 0o666), (0o022, 0o644), (0o077, 0o600)):
        with umask(mask):
            write(inside)
            write(outside)
        assert inside.stat().st_mode & 0o777 == 0o600
        assert outside.stat().st_mode & 0o777 == expected


def test_folders_of_a_home_are_closed_when_they_are_made_and_when_they_are_used(tmp_path):
    with umask(0):
        made = private_folder(tmp_path / "new" / "data" / "inner")
        open_to_all = tmp_path / "old"
        open_to_all.mkdir(mode=0o777)
        private_folder(open_to_all)
        create(tmp_path / "home")
    closed = [made, made.parent, made.parent.parent, open_to_all]
    below = list((tmp_path / "home").rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in closed} == {0o700}
    assert not [path for path in [tmp_path / "home", *below] if path.stat().st_mode & 0o077]


def test_what_a_killed_process_was_writing_goes_with_the_next_and_a_living_ones_stays(tmp_path):
    path = tmp_path / "scores [all].csv"
    program = (
        "import sys, time; from pathlib import Path; from icploop.io.whole_file import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as part:\n"
        "    part.write_text('half'); print('writing', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writing:
        assert writing.stdout.readline() == "writing\n"
        [left] = tmp_path.glob(".*.part")
        text_to(path, "whole")
        assert left.exists()
        writing.send_signal(signal.SIGKILL)
        writing.wait()
    another = tmp_path / ".scores a.csv.1234.part"
    another.write_text("of a file with a name like it")
    assert left.exists()
    text_to(path, "whole again")
    assert set(tmp_path.iterdir()) == {path, another}


def test_a_fault_in_between_leaves_what_was_there(tmp_path):
    path = tmp_path / "page.html"
    text_to(path, "good")
    with pytest.raises(UnicodeEncodeError):
        text_to(path, "half" * 100_000 + "\ud800")
    with pytest.raises(DataError, match="no rows"), writer_to(tmp_path / "rows.csv"):
        pass
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "place", ["folder.csv", "no\0name.csv", "x" * 300 + ".csv", "page.csv/a.csv"]
)
def test_where_no_file_can_be_is_told(tmp_path, place):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "page.csv").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        _frames(tmp_path / place)


def test_the_password_of_a_home_is_made_once_and_for_its_owner(tmp_path):
    home = Home(tmp_path)
    with umask(0):
        password = password_of(home)
        ticket = new_ticket(home, "prefect")
    assert password.startswith("icp:")
    assert len(password) > 40
    assert password_of(home) == password
    assert home.ticket_file("prefect").read_text() == ticket
    assert new_ticket(home, "prefect") != ticket
    files = list(home.access_folder.iterdir())
    assert {path.stat().st_mode & 0o777 for path in [*files, home.access_folder]} == {0o600, 0o700}
    stands = home.access_folder / "password"
    stands.chmod(0o640)
    with pytest.raises(UsageError, match="can be read by others"):
        password_of(home)
    stands.chmod(0o600)
    for wrong in ("", "icp:", ":secret", "icp", "icp:a\x00b"):
        stands.write_text(wrong)
        with pytest.raises(UsageError, match="must hold name:password"):
            password_of(home)
