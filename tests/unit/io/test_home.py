from pathlib import Path

import pytest

from icploop.errors import UsageError
from icploop.io.home import Home, create
from icploop.settings import FilesSource
from tests.unit.io_fixtures import files_source, new_home


def test_a_created_home_has_settings_and_sources_that_are_valid_as_they_stand(tmp_path: Path):
    written = create(tmp_path)
    home = Home(tmp_path)
    assert home.settings().company
    assert all(isinstance(source, FilesSource) for source in home.sources().values())
    assert sorted(written) == sorted((tmp_path / "conf").rglob("*.yaml"))


def test_the_folder_that_the_created_source_names_exists(tmp_path: Path):
    create(tmp_path)
    source = Home(tmp_path).sources()["files"]
    assert isinstance(source, FilesSource)
    assert (tmp_path / source.folder).is_dir()


def test_the_created_settings_are_commented(tmp_path: Path):
    create(tmp_path)
    lines = Home(tmp_path).settings_file.read_text().splitlines()
    assert sum("#" in line for line in lines) > 20


def test_examples_are_not_copied_into_a_new_home(tmp_path: Path):
    create(tmp_path)
    assert not (tmp_path / "conf" / "examples").exists()


def test_creating_a_home_overwrites_nothing(tmp_path: Path):
    home = new_home(tmp_path)
    before = home.settings_file.read_bytes()
    with pytest.raises(UsageError, match="exists already; nothing was overwritten"):
        create(tmp_path)
    assert home.settings_file.read_bytes() == before
    assert not (tmp_path / "data").exists()


def test_sources_come_in_alphabetical_order(tmp_path: Path):
    home = new_home(tmp_path, zebra=files_source(), apple=files_source())
    assert list(home.sources()) == ["apple", "zebra"]


def test_a_folder_without_settings_is_told_how_to_become_a_home(tmp_path: Path):
    with pytest.raises(UsageError, match=r"icp\.yaml does not exist.*icp init.*--home"):
        Home(tmp_path).settings()


def test_a_home_without_sources_is_told_what_to_do(tmp_path: Path):
    home = new_home(tmp_path)
    (home.sources_folder / "files.yaml").unlink()
    with pytest.raises(UsageError, match=r"no source is configured.*icp ingest --from"):
        home.sources()


def test_a_fault_in_a_source_names_its_file(tmp_path: Path):
    home = new_home(tmp_path, crm={"kind": "filez", "folder": "x", "tables": {}})
    with pytest.raises(UsageError, match=r"conf/sources/crm\.yaml.*'filez'.*did you mean `files`"):
        home.sources()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte order mark"])
def test_settings_are_read_as_utf_8(tmp_path: Path, mark: bytes):
    home = new_home(tmp_path)
    text = home.settings_file.read_text().replace("Tiny", "Größe & Söhne")
    home.settings_file.write_bytes(mark + text.encode())
    assert home.settings().company == "Größe & Söhne"


def test_settings_in_another_encoding_are_refused_with_the_file_named(tmp_path: Path):
    home = new_home(tmp_path)
    home.settings_file.write_bytes("company: Größe\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"icp\.yaml cannot be read as UTF-8"):
        home.settings()


def test_settings_that_are_a_folder_are_refused(tmp_path: Path):
    (tmp_path / "conf" / "icp.yaml").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be read"):
        Home(tmp_path).settings()


@pytest.mark.parametrize("sign", ["?", "#", "%"])
def test_a_path_that_no_address_can_hold_is_refused_where_a_store_would_be(
    tmp_path: Path, sign: str
):
    home = Home(tmp_path / f"what{sign}now")
    with pytest.raises(UsageError, match=r"move the home to a folder without it"):
        home.store  # noqa: B018
    assert not home.mlruns.exists()
    assert Home(tmp_path / "café (1)").store.startswith("sqlite:////")
