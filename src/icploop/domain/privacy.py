"""Company data only: which columns look like a person's, by their name or by what is in them.

Nothing here repeats a value: a finding names the column and the rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from icploop.domain.identity import MERGED_INTO

# From this share of distinct values on a column counts as holding what its values look like.
ENOUGH = 0.5
# Addresses hide in notes, so fewer will do.
ENOUGH_ADDRESSES = 0.05
# Of larger tables rows at even distances are looked at.
_MOST_ROWS = 200_000
_MOST_VALUES = 20_000
_PHONE_DIGITS = 6
_NO_PERSONS_NUMBER = frozenset(
    {"company", "main", "switchboard", "id", "key", "code", "erp", "ref"}
)
_ADDRESS_WORDS = frozenset({"email", "mail", "e", "address"})

_ADDRESS = re.compile(r"([a-z0-9._%+'-]+)@[a-z0-9.-]+\.[a-z]{2,}", re.IGNORECASE)
_ROLE_WORDS = """
abuse accounting accounts admin administration ap ar billing booking bookings buchhaltung business
careers commercial compliance compras comptabilite contabilidad contact contacto contato customer
customerservice datenschutz direction dpo einkauf enquiries export facturacion facturation
feedback finance general hello help helpdesk hi hola hr import info information inquiries invoice
invoices it jobs kontakt legal logistics mail mailbox marketing media no-reply noreply office
operations ops order orders partner partners payable payables payroll post postmaster press
privacy procurement purchasing reception rechnung rechnungen recruiting rfp rh sales secretariat
security service services shop support team tech technik vendas ventas verkauf vertrieb webmaster
welcome
"""
_ROLES = frozenset(_ROLE_WORDS.split())
_LOOKS_LIKE: dict[str, re.Pattern[str]] = {
    "phone numbers": re.compile(
        r"(?:\+|00)[1-9][\d\s().\-/]{6,18}|\(\d{2,5}\)[\d\s.\-/]{5,14}|\d{3}[-. ]\d{3}[-. ]\d{4}"
    ),
    "IP addresses": re.compile(
        r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)"
        r"|(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|(?:[0-9a-f]{1,4}:)+(?::[0-9a-f]{1,4})+",
        re.IGNORECASE,
    ),
    "national ids": re.compile(r"\d{3}-\d{2}-\d{4}|\d{3}\.\d{3}\.\d{3}-\d{2}"),
    "profiles of persons": re.compile(r"\S*linkedin\.com/in/\S+", re.IGNORECASE),
}
_FIRST_NAME_WORDS = """
adam ahmed alan albert alex alexander alexandra ali alice amanda amy ana andrea andreas andrew
angela anita ann anna anne antonio arthur barbara ben benjamin betty bob brenda brian bruce
camille carla carlos carol caroline catherine charles charlotte chloe chris christian christina
christine christopher claire clara claudia daniel daniela david deborah dennis diana diego donald
donna edward elena elisabeth elizabeth ella emily emma eric erik eva fatima felix fernando florian
francesca francisco frank gary george giulia grace gregory hannah hans heather helen henry ian
ingrid isabel jack jacob james jan jane janet jason jean jeffrey jennifer jessica joan joao
johannes john jonas jonathan jorge jose joseph joshua juan judith julia julie jurgen karen karl
katharina katherine kathleen kenneth kevin kim klaus lars laura lauren laurent lea leon linda lisa
louis louise lucas lucia luis luke margaret maria marie mario mark marta martin mary matthew max
megan melissa michael michelle miguel mohamed mohammed monica nancy natalie nicholas nicolas
nicole nina noah oliver olivia pablo pamela patricia patrick paul paula pedro peter philip pierre
rachel raj ralph rebecca richard robert roberto roger ronald rosa ruth ryan samuel sandra sara
sarah scott sergio sharon simon sofia sophie stefan stephanie stephen steve steven susan susanne
teresa thomas tim timothy tom tyler ursula valerie victor victoria virginia walter wei werner
william wolfgang yan yuki
"""
_FIRST_NAMES = frozenset(_FIRST_NAME_WORDS.split())
_FULL_NAME = re.compile(r"([^\W\d_]+)\.? (?:[^\W\d_]\.? )?[^\W\d_][\w'-]+(?: [^\W\d_][\w'-]+)?")

# Words that may stand beside what a rule asks for, in a column's name.
_BESIDE = """
contact person personal owner rep manager buyer user customer employee champion lead primary
secondary billing decision maker signer csm ae work home private direct business
"""
_OF_A_PERSON = frozenset(_BESIDE.split())


def _named(*cores: str, beside: str = "") -> tuple[tuple[frozenset[str], ...], frozenset[str]]:
    """A name holds all words of one of `cores`, and besides them only such as may stand there."""
    return tuple(frozenset(core.split()) for core in cores), _OF_A_PERSON | set(beside.split())


_NAMED = {
    "a person's name": _named(
        *("first name", "last name", "middle name", "given name", "family name", "full name"),
        *("firstname", "lastname", "fullname", "surname", "forename", "maiden name"),
        *("contact name", "person name", "owner name", "rep name", "manager name", "ae name"),
        *("buyer name", "user name", "founder name", "champion name", "csm name", "signer name"),
        beside="account sales of the",
    ),
    "a person's phone": _named(
        *("phone", "telephone", "mobile", "cellphone", "cell phone", "fax"),
        beside="number no nr tel mobile cell phone fax",
    ),
    "a birth date": _named(
        *("birth date", "birthdate", "birthday", "dob", "date birth", "birth year", "birth day"),
        beside="of at on year month",
    ),
    "a person's id": _named(
        *("ssn", "social security", "passport", "national id", "nino", "cpf", "personal id"),
        *("drivers license", "driver license", "identity card", "national insurance"),
        beside="number no nr id",
    ),
    "an IP address": _named("ip address", "ipaddress", beside="last login signup v client"),
    "a person's traits": _named(
        *("gender", "sex", "religion", "ethnicity", "marital status", "nationality", "salutation")
    ),
    "a person's address": _named("home address", "private address", "home street", "home city"),
}


@dataclass(frozen=True)
class PersonalColumn:
    """A column that looks like a person's, and why."""

    column: str
    rule: str

    def __str__(self) -> str:
        return f"`{self.column}` {self.rule}"


def personal_columns(frame: pd.DataFrame, allowed: Iterable[str] = ()) -> list[PersonalColumn]:
    """The columns that look like a person's; columns that are empty, or `allowed`, do not."""
    # The id of an account is a company's, however its digits look.
    known = {MERGED_INTO, *allowed}
    found = []
    for column in frame.columns:
        values = frame[column].iloc[:: every(len(frame))].dropna()
        if str(column) in known or values.empty:
            continue
        rule = _by_both(str(column), values) or by_content(str(column), values)
        if rule:
            found.append(PersonalColumn(str(column), rule))
    return found


def every(rows: int) -> int:
    """Of a table of so many rows each so-manieth is looked at."""
    return -(-rows // _MOST_ROWS) or 1


def by_name(column: str) -> str:
    """Why a column's name says that it is about a person; empty where it does not."""
    words = _words(column)
    for rule, (cores, beside) in _NAMED.items():
        for core in cores:
            if core <= set(words) and set(words) - core <= beside:
                return f"is named like {rule}"
    return ""


def _by_both(column: str, values: pd.Series) -> str:
    """Words that have other meanings too count only where the values do not contradict them."""
    if rule := by_name(column):
        digits = values.astype("str").str.count(r"\d") >= _PHONE_DIGITS
        return rule if "phone" not in rule or _share(digits) >= ENOUGH else ""
    words = set(_words(column))
    if words & _ADDRESS_WORDS and words <= _ADDRESS_WORDS | _OF_A_PERSON:
        of_roles = values.astype("str").map(lambda text: "@" in text and not _names_a_person(text))
        if _share(of_roles) < 1 - ENOUGH_ADDRESSES:
            return "is named like an e-mail address, and does not hold those of roles (info@)"
    return ""


def by_content(column: str, values: pd.Series) -> str:
    """Why a column's values look like a person's; empty where they do not.

    E-mail addresses of a role (info@, sales@) are a company's.
    """
    if not (pd.api.types.is_string_dtype(values.dtype) or values.dtype == object):
        return ""
    texts = pd.Series(values.astype("str").str.strip().unique()[:_MOST_VALUES])
    texts = texts[texts != ""]
    if texts.empty:
        return ""
    if _share(texts.map(_names_a_person)) >= ENOUGH_ADDRESSES:
        return "holds e-mail addresses of persons"
    for rule, pattern in _LOOKS_LIKE.items():
        if rule == "phone numbers" and (
            set(_words(column)) & _NO_PERSONS_NUMBER or _are_padded_keys(texts)
        ):
            continue
        if _share(texts.map(lambda text, p=pattern: bool(p.fullmatch(text)))) >= ENOUGH:
            return f"holds {rule}"
    # A company may bear its founder's name, and stands in `name`.
    if column != "name" and _share(texts.map(_is_full_name)) >= ENOUGH:
        return "holds names of persons"
    return ""


def _are_padded_keys(texts: pd.Series) -> bool:
    """Whether numbers are keys as ERPs write them: of one length, filled up with zeros."""
    as_keys = texts.str.fullmatch(r"0\d+") & texts.str.contains("000", regex=False)
    lengths = texts.str.len()
    return _share(as_keys) >= ENOUGH and lengths.min() == lengths.max()


def _share(hits: pd.Series) -> float:
    return float(hits.mean())


def _names_a_person(text: str) -> bool:
    return any(
        re.split(r"[+.]", local.lower())[0] not in _ROLES and local.lower() not in _ROLES
        for local in _ADDRESS.findall(text)
    )


def _is_full_name(text: str) -> bool:
    found = _FULL_NAME.fullmatch(text)
    return found is not None and found[1].lower() in _FIRST_NAMES


def _words(column: str) -> list[str]:
    apart = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", column)
    return re.findall(r"[a-z]+", apart.lower())
