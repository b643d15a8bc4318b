import json
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from icploop.errors import UsageError
from icploop.io.secrets import Secret, address, optional, passwords, secret, stated

NAME = "SOME_TOKEN"


def told_of(text: str, read: object = secret) -> str:
    """What is said of a variable that holds this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(NAME, text)
        with pytest.raises(UsageError) as told:
            read(NAME, "conf/x.yaml: token_env", "an access token")  # type: ignore[operator]
    assert told.value.exit_status == 2
    return str(told.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("pat-1234\n", "has a line break at its end"),
        ("pat\r\n1234", "has a line break as character 4"),
        ("\npat-1234", "has a line break as character 1"),
        ("pat 1234", "has a blank as character 4"),
        ("pat-1234\t", "has a blank at its end"),
        ("pat\u00a01234", "has a blank as character 4"),
        ("pat\x7f1234", "has a control character as character 4"),
        ("gehéim-1234", "has a character that is not ASCII, such as an accent as character 4"),
        ("pat-1234\u200b", "has a character that is not ASCII, such as an accent at its end"),
        ("“pat-1234”", "has a character that is not ASCII"),
    ],
)
def test_what_no_token_can_be_is_told_by_its_variable(text: str, fault: str) -> None:
    said = told_of(text)
    assert said.startswith("conf/x.yaml: token_env: the environment variable SOME_TOKEN ")
    assert fault in said
    assert "set it to an access token" in said
    assert "1234" not in said


def test_one_that_is_not_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with pytest.raises(UsageError, match=r"SOME_TOKEN is not set; set it to an access token"):
        secret(NAME, "conf/x.yaml", "an access token")
    assert optional(NAME, "x", "y") is None


def test_a_sound_one_is_handed_on_and_does_not_show_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "pat-1234!~")
    found = secret(NAME, "x", "y")
    assert found.reveal() == "pat-1234!~"
    assert "1234" not in f"{found} {found!r}"


def test_what_a_library_reads_by_itself_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv(NAME, "pat-1234")
    assert [found.name for found in stated(["EMPTY", NAME], "MLflow")] == [NAME]
    monkeypatch.setenv(NAME, "pat-1234\n")
    with pytest.raises(UsageError, match=r"MLflow: .* SOME_TOKEN has a line break"):
        stated(["EMPTY", NAME], "MLflow")


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=8))
def test_no_refusal_repeats_what_it_refuses(text: str) -> None:
    assume(not (text.isascii() and text.isprintable() and " " not in text))
    said = told_of(text)
    assert text not in said
    assert text.strip() not in said


@given(token=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8))
def test_it_is_hidden_however_it_is_spelled(token: str) -> None:
    hidden = Secret(NAME, token, (token,))
    for spelled in (token, quote(token, safe=""), json.dumps(token), repr(token)):
        assert token not in hidden.hidden_in(f"before {spelled} after {spelled}")
        assert spelled.strip("\"'") not in hidden.hidden_in(f"before {spelled} after")


class TestAddresses:
    @pytest.mark.parametrize(
        "text",
        [
            "sqlite:////home/My Files/größe.db",
            "postgresql+psycopg://ada:p%C3%A4ss%40word@host/database",
            "http://127.0.0.1:5000",
            "mlruns",
        ],
    )
    def test_only_user_and_password_must_be_plain(
        self, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(NAME, text)
        assert address(NAME, "x", "y").reveal() == text

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", "is empty"),
            ("postgresql://ada:geheim@host/db\n", "has a line break at its end"),
            ("postgresql://ada:ge heim@host/db", "has a blank"),
            ("postgresql://ada:gehéim@host/db", "not ASCII"),
        ],
    )
    def test_what_cannot_be_one_is_not_repeated(self, text: str, fault: str) -> None:
        said = told_of(text, address)
        assert fault in said
        assert "heim" not in said

    def test_a_server_without_a_password_is_no_secret(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(NAME, "http://mlflow:5000")
        assert "mlflow:5000" in address(NAME, "x", "y").hidden_in("at http://mlflow:5000")

    def test_its_password_and_its_path_are_hidden_alone_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(NAME, "postgresql://ada:p%40ss@host/db")
        database = address(NAME, "x", "y")
        assert database.hidden_in("p@ss and p%40ss of ada@host") == "*** and *** of ada@host"
        monkeypatch.setenv(NAME, "https://hooks.example/services/T0/B1")
        webhook = secret(NAME, "x", "y")
        assert webhook.hidden_in("404: /services/T0/B1 is gone") == "404: *** is gone"


@pytest.mark.parametrize("text", ["two words", "p@ss/w:rd %20#&'\"\\", "geheim-ü"])
def test_a_password_that_is_sent_encoded_may_have_blanks_and_accents(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, text)
    [found] = passwords([NAME, "NOT_SET"], "MLflow")
    assert found.reveal() == text
    assert text not in found.hidden_in(f"refused: {text}")


@pytest.mark.parametrize("text", ["secret\n", "sec\x01ret", " secret", "secret "])
def test_what_no_password_can_be_is_told_without_it(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, text)
    with pytest.raises(UsageError, match=NAME) as refused:
        passwords([NAME], "MLflow")
    assert text.strip() not in str(refused.value)
