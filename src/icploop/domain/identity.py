"""Who is who: billing's customers among the CRM's accounts, families of companies, duplicates.

Keys are exact once they are normalised: an id, a web domain, a name without its legal form. What
two accounts could claim is left alone and listed, because a wrong match moves money silently.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from icploop.domain.calendar import seen_by, settled
from icploop.domain.cells import folded_key
from icploop.domain.tables import CONTRACTS, Tables
from icploop.settings import Identity, TableName

# A name this short is an abbreviation that others have too.
_SHORTEST_NAME = 4
_GUESSED = "domain and name"
# What so many accounts share is a platform's domain, and no family's.
_MOST_OF_A_FAMILY = 20
# Where anybody has an e-mail address: such a domain is no company's own.
_FREE_DOMAINS = """
126.com 139.com 163.com aliceadsl.fr att.net bellsouth.net bigpond.com bluewin.ch btinternet.com
charter.net comcast.net cox.net daum.net docomo.ne.jp duck.com earthlink.net ezweb.ne.jp
fastmail.com fastmail.fm foxmail.com free.fr freemail.hu freenet.de gmail.com googlemail.com
hanmail.net hey.com hushmail.com icloud.com inbox.lv inbox.ru interia.pl juno.com laposte.net
libero.it list.ru mac.com mail.com mail.de mail.ru me.com mailbox.org naver.com neuf.fr
ntlworld.com o2.pl onet.pl optonline.net optusnet.com.au orange.fr pm.me posteo.de proton.me
protonmail.com qq.com rambler.ru rediffmail.com rogers.com sapo.pt sbcglobal.net seznam.cz sfr.fr
shaw.ca sina.com sky.com sohu.com sympatico.ca t-online.de talktalk.net telenet.be telus.net
terra.com.br tiscali.it tuta.com tutanota.com ukr.net uol.com.br verizon.net virgilio.it
virginmedia.com walla.co.il wanadoo.fr web.de wp.pl yeah.net zoho.com
"""
_FREE = frozenset(_FREE_DOMAINS.split())
_FREE_EVERYWHERE = re.compile(
    r"(?:aol|gmx|hotmail|live|msn|outlook|rocketmail|windowslive|yahoo|yandex|ymail)"
    r"\.(?:com?\.)?[a-z]{2,4}"
)
# Where anybody has a page: companies differ only in what comes behind such an address.
_PLATFORM_DOMAINS = """
about.me airbnb.com amazon.com angel.co app.link apps.apple.com bandcamp.com behance.net bit.ly
booking.com business.site calendly.com capterra.com carrd.co crunchbase.com discord.gg
docs.google.com drive.google.com dropbox.com dribbble.com ebay.com etsy.com eventbrite.com
facebook.com fb.com fb.me flickr.com g.co g.page g2.com github.com gitlab.com glassdoor.com goo.gl
google.com gumroad.com indeed.com indiamart.com instagram.com issuu.com kickstarter.com kununu.com
linkedin.com linkin.bio linktr.ee lnkd.in medium.com meetup.com messenger.com mixcloud.com
mobile.de myspace.com notion.site notion.so ok.ru open.spotify.com patreon.com pinterest.com
play.google.com producthunt.com quora.com reddit.com scribd.com sites.google.com slideshare.net
soundcloud.com substack.com t.co t.me telegram.me tiktok.com tinyurl.com tripadvisor.com
trustpilot.com tumblr.com twitch.tv twitter.com upwork.com vimeo.com vk.com wa.me waze.com
wechat.com weibo.com whatsapp.com wikipedia.org x.com xing.com yellowpages.com yelp.com youtu.be
youtube.com zoominfo.com
"""
_PLATFORMS = frozenset(_PLATFORM_DOMAINS.split())
# Of these every subdomain is a company's own.
_HOMES_ON_PLATFORMS = frozenset(
    {"business.site", "carrd.co", "medium.com", "notion.site", "substack.com", "tumblr.com"}
)
_COUNTRY = re.compile(r"\.(?:com?\.)?(?!ai|cc|co|fm|gg|io|ly|me|so|to|tv)[a-z]{2}$")
# Most domains are written so, and need no more looking at.
_IS_BARE = re.compile(r"(?!www\d?\.)[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}").fullmatch
_IS_HOST = re.compile(r"[^\s.]+(?:\.[^\s.]+)*\.(?:[^\W\d_]{2,}|xn--[a-z0-9-]+)").fullmatch
# Salesforce's ids, in which capitals count; the last three of 18 characters say which there are.
_SALESFORCE = re.compile(r"(?=.*\d)[A-Za-z0-9]{15}(?:[A-Za-z0-5]{3})?")
_CHECK_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_LEGAL_FORMS = """
ab ag aps as asa bv co company corp corporation eood gmbh gmbhcokg inc incorporated kft kg kk
limited llc llp lp ltd ltda nv oy oyj plc pte pty pvt sa sarl sas se sl sp spa srl sro ug zoo
"""
_LEGAL = frozenset(_LEGAL_FORMS.split())
# A column that accounts may have: into which account the CRM merged one, from that row's day on.
MERGED_INTO = "merged_into"


def domain_key(text: str) -> str:
    """`https://www.Acme.example/de` and `sales@acme.example` are `acme.example`.

    Empty for what is no company's own: free mail (`yahoo.co.uk`), and pages on platforms
    (`facebook.com/acme`).
    """
    if _IS_BARE(text):
        return "" if _is_public(text) else text
    bare = re.sub(r"^\s*(?:[a-z]+://)?(?:[^@/\s]*@)?(?:www\d?\.)?", "", text.strip().lower())
    host = re.split(r"[/:?#\s]", bare)[0].rstrip(".")
    return "" if not _IS_HOST(host) or _is_public(host) else host


def _is_public(host: str) -> bool:
    """Whether anybody may have an address or a page there."""
    if host in _FREE or _FREE_EVERYWHERE.fullmatch(host):
        return True
    labels = host.split(".")
    ends = {".".join(labels[i:]) for i in range(len(labels) - 1)}
    # A platform has an address in each country: facebook.de, tripadvisor.co.uk.
    ends |= {_COUNTRY.sub(".com", end) for end in ends}
    found = ends & _PLATFORMS
    return bool(found) and not (found <= _HOMES_ON_PLATFORMS and host not in _HOMES_ON_PLATFORMS)


def name_key(text: str) -> str:
    """`Ácme Systems, Inc.` is `acmesystems`: no accents, no marks, no legal form at the end."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain.replace("&", " and ").replace(".", ""))
    while len(words) > 1 and words[-1] in _LEGAL:
        words.pop()
    key = "".join(words)
    return key if len(key) >= _SHORTEST_NAME else ""


def id_key(text: str) -> str:
    """` AC-001 ` is `ac-001`; ids in which capitals count keep them.

    Those are ids with digits, capitals and small letters, and Salesforce's of 15 characters. One of
    18, whose last three say which letters are capitals, is the one of 15.
    """
    plain = folded_key(text)
    if _SALESFORCE.fullmatch(plain):
        if len(plain) == 15 and plain.startswith("00"):
            return plain
        if len(plain) == 18 and (restored := _with_capitals(plain)):
            return restored
    tells_apart = plain != plain.lower() and plain != plain.upper() and re.search(r"\d", plain)
    # Words that begin with a capital are written so by people: `Acme-1`.
    return plain if tells_apart and re.search(r"^\S*[a-z0-9][A-Z]\S*$", plain) else plain.lower()


def _with_capitals(text: str) -> str:
    """Salesforce's id of 15 characters from one of 18; empty where the last three are no check."""
    body = ""
    for start, check in zip((0, 5, 10), text[15:].upper(), strict=True):
        bits = _CHECK_CHARACTERS.index(check)
        for place, char in enumerate(text[start : start + 5]):
            is_capital = bool(bits >> place & 1)
            if is_capital and not char.isalpha():
                return ""
            body += char.upper() if is_capital else char.lower()
    return body


def families(accounts: pd.DataFrame) -> pd.Series:
    """The family of each account, by account_id: parents of parents, and owners of one domain.

    A family bears the name of the parent at its top, or of its first account. Nothing is stored, so
    a parent_id that is mended mends the family.
    """
    last = _last_known(accounts)
    ids = last.index
    parents = last["parent_id"].dropna()
    links = list(zip(parents.index, parents, strict=True))
    domains = _keys(last["domain"], domain_key)
    shared = domains[domains.duplicated(keep=False)]
    for _, members in shared.groupby(shared):
        if len(members) <= _MOST_OF_A_FAMILY:
            links += [(members.index[0], other) for other in members.index[1:]]
    names = pd.Index(dict.fromkeys([*ids, *(parent for _, parent in links)]))
    ends = [names.get_indexer([link[side] for link in links]) for side in (0, 1)]
    graph = coo_array((np.ones(len(links)), (ends[0], ends[1])), shape=(len(names), len(names)))
    _, family = connected_components(graph, directed=False)
    # The top: a member that is named as a parent and has none itself; else the first by id.
    has_parent = names.isin(parents.index)
    is_parent = names.isin(parents)
    order = pd.DataFrame({"family": family, "name": names, "under": ~(is_parent & ~has_parent)})
    top = order.sort_values(["under", "name"]).drop_duplicates("family").set_index("family")["name"]
    return pd.Series(top.loc[family].to_numpy(), index=names).loc[ids]


@dataclass(frozen=True)
class Matches:
    """Which of billing's customers are which accounts.

    `found` has a row for each id that billing uses: billed_as, account_id (missing where there is
    none), rule (id, alias, domain, name, ambiguous, none), and mrr, all money billed to it.
    """

    found: pd.DataFrame

    @property
    def account_of(self) -> dict[str, str]:
        """The account of each id that has one under another id."""
        known = self.found[self.found["account_id"].notna()]
        pairs = zip(known["billed_as"], known["account_id"], strict=True)
        return {ours: theirs for ours, theirs in pairs if ours != theirs}

    def as_dict(self) -> dict[str, Any]:
        """How many, and how much money, by rule; and those that were matched by another key."""
        by_rule = self.found.groupby("rule")["mrr"].agg(["size", "sum"])
        matched = self.found["account_id"].notna()
        other = self.found[matched & (self.found["rule"] != "id")]
        return {
            "match_rate": float(matched.mean()) if len(matched) else None,
            "money_matched": float(self.found.loc[matched, "mrr"].sum()),
            "money_unmatched": float(self.found.loc[~matched, "mrr"].sum()),
            "by_rule": {
                str(rule): {"customers": int(row["size"]), "money": float(row["sum"])}
                for rule, row in by_rule.iterrows()
            },
            "matched": other[["billed_as", "account_id", "rule"]].to_dict("records"),
            "unmatched": sorted(self.found.loc[~matched, "billed_as"]),
        }


def match(billed: pd.DataFrame, accounts: pd.DataFrame, identity: Identity) -> Matches:
    """Find the account of each customer that is billed.

    `billed` has account_id, mrr, and perhaps domain and name; `accounts` account_id, domain, name.
    What `identity` says by hand comes first. A key counts only where a single account, and a single
    customer, bears it; duplicates that count as one company are a single account.
    """
    stated = identity.aliases
    last = _last_known(accounts)
    known = set(last.index)
    row_of, ids = pd.factorize(billed["account_id"].astype("str"))
    money = billed["mrr"].to_numpy(dtype="float64", na_value=0.0)
    named = row_of >= 0
    total = np.bincount(row_of[named], np.nan_to_num(money[named]), len(ids))
    customers = pd.DataFrame({"mrr": total}, index=pd.Index(ids, dtype="str")).sort_index()
    # Of customers that are accounts by their id nothing else is asked.
    is_stranger = np.array([name not in known for name in ids], dtype=bool)
    rest = billed[named & is_stranger[row_of]] if len(ids) else billed
    rest = rest.reindex(columns=["account_id", "domain", "name"]).astype("str")
    customers = customers.join(rest.groupby("account_id")[["domain", "name"]].last())
    by_key: list[tuple[str, dict[str, str], set[str]]] = []
    if is_stranger.any():
        one = one_account_of(duplicates(accounts, identity), identity)
        ours, theirs = _of_itself(customers.index), _of_itself(last.index)
        by_key = [
            ("id", *_claims(ours, theirs, id_key, one)),
            ("domain", *_claims(customers["domain"], last["domain"], domain_key, one)),
            ("name", *_claims(customers["name"], last["name"], name_key, one)),
        ]
    rows: list[tuple[str, str | None, str, float]] = []
    for customer, mrr in customers["mrr"].items():
        name = str(customer)
        account: str | None = name
        rule = "id"
        if name in known:
            pass  # which account an account is, is asked when tables are read
        elif name in stated:
            account, rule = (stated[name] if stated[name] in known else None), "alias"
        else:
            account, rule = _first_claim(name, by_key)
        rows.append((name, account, rule, float(mrr)))
    found = pd.DataFrame(rows, columns=["billed_as", "account_id", "rule", "mrr"])
    # Two customers of one account: the rows of their months would push each other out.
    by_another = (found["billed_as"] != found["account_id"]) & (found["rule"] != "alias")
    again = found["account_id"].notna() & found["account_id"].duplicated(keep=False) & by_another
    found.loc[again, ["account_id", "rule"]] = [None, "ambiguous"]
    return Matches(found.astype({"billed_as": "str", "account_id": "str", "mrr": "float64"}))


def billing_by_customer(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One row for each id of billing that comes in parts, as `match` reads it.

    Its money is added up row by row, so that the parts change no bit of it; `domain` and `name` are
    the last that were given.
    """
    number_of: dict[str, int] = {}
    money = np.zeros(0)
    called = pd.DataFrame(columns=["domain", "name"], dtype="str")
    for part in parts:
        rows, ids = pd.factorize(part["account_id"].astype("str"))
        numbers = np.array([number_of.setdefault(name, len(number_of)) for name in ids], dtype=int)
        money = np.concatenate([money, np.zeros(len(number_of) - len(money))])
        mrr = part["mrr"].to_numpy(dtype="float64", na_value=0.0)
        named = rows >= 0
        np.add.at(money, numbers[rows[named]], np.nan_to_num(mrr[named]))
        given = [column for column in called if column in part and part[column].notna().any()]
        if given:
            latest = part.groupby("account_id")[given].last()
            called = latest.combine_first(called)
    found = pd.DataFrame({"mrr": money}, index=pd.Index(number_of, dtype="str"))
    return found.join(called.astype("str")).rename_axis("account_id").reset_index()


def companies_seen_by(tables: Tables, day: date, identity: Identity) -> Tables:
    """What `day` could have seen of the tables, with each company once.

    Who is a duplicate is asked of what the day sees, and nothing is stored: another alias, or
    `merge_duplicates: false`, undoes it.
    """
    seen = seen_by(tables, day)
    return _merged(seen, one_account_of(duplicates(seen.accounts, identity), identity))


def customers_as_one(tables: Tables, identity: Identity) -> Tables:
    """The tables with deals and revenue of duplicates under one account, and not a row joined.

    Enough to count who is a customer, where `companies_seen_by` would take long.
    """
    same_as = one_account_of(duplicates(tables.accounts, identity), identity)
    if not same_as:
        return tables
    deals, revenue = (
        table.assign(account_id=_as_one(table["account_id"].astype("str"), same_as))
        for table in (tables.deals, tables.revenue)
    )
    return replace(tables, deals=deals, revenue=revenue)


def under_one_account(listings: pd.DataFrame, same_as: Mapping[str, str]) -> pd.DataFrame:
    """Logged lists (as_of, account_id, listed, propensity, ...) with each company once a day.

    Where a list had it under two accounts, the one that was listed, or could sooner be, counts.
    """
    if not same_as:
        return listings
    found = listings.assign(account_id=_as_one(listings["account_id"], same_as))
    best_first = found.sort_values(["listed", "propensity"], ascending=False, kind="stable")
    return best_first.drop_duplicates(["as_of", "account_id"]).sort_index()


def one_account_of(twice: pd.DataFrame, identity: Identity) -> dict[str, str]:
    """The account that each duplicate counts as; empty where duplicates are not to be merged."""
    if not identity.merge_duplicates:
        twice = twice[twice["rule"] != _GUESSED]
    return dict(zip(twice["account_id"], twice["same_as"], strict=True))


def duplicates(accounts: pd.DataFrame, identity: Identity) -> pd.DataFrame:
    """Accounts that are another one: account_id, same_as, rule, in the order of ids.

    `rule` is "alias" where that was said by hand, "merged" where the CRM says so (`merged_into`),
    else "domain and name"; then `same_as` is the first of them by id. What is said by hand of an
    account counts before all else.
    """
    last = _last_known(accounts)
    merged = last[MERGED_INTO].drop(list(identity.aliases), errors="ignore").dropna()
    by_hand = _pairs(identity.aliases.items(), last)
    in_crm = _pairs(merged[merged != ""].items(), last)
    known = [*identity.aliases, *in_crm["account_id"]]
    others = _same_domain_and_name(last[~last.index.isin(known)])
    found = pd.concat(
        [by_hand.assign(rule="alias"), in_crm.assign(rule="merged"), others.assign(rule=_GUESSED)]
    )
    first = one_account_of(found, identity)
    found["same_as"] = found["same_as"].map(lambda name: _end_of(name, first))
    # Aliases that lead back to themselves say nothing.
    found = found[~found["same_as"].isin(list(first))]
    return found.sort_values("account_id", ignore_index=True)


def _pairs(said: Iterable[tuple[Any, str]], last: pd.DataFrame) -> pd.DataFrame:
    """Who is said to be whom, of accounts that are there: account_id, same_as."""
    there = set(last.index)
    known = [(str(a), b) for a, b in said if a != b and {a, b} <= there]
    return pd.DataFrame(known, columns=["account_id", "same_as"], dtype="str")


def _end_of(name: str, first: Mapping[str, str]) -> str:
    """Whoever is the same as a duplicate is the same as whom that is the same as."""
    met = {name}
    while (name := first.get(name, name)) not in met:
        met.add(name)
    return name


def _merged(tables: Tables, same_as: Mapping[str, str]) -> Tables:
    """The tables with the rows of duplicates under the account that they count as.

    What both say of one moment is taken from the account itself first, and the MRR of one month is
    added up over billing's customers, each of whom counts once.
    """
    if not same_as:
        return tables

    def renamed(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
        return table.assign(**{column: _as_one(table[column], same_as) for column in columns})

    own_first = np.argsort(tables.accounts["account_id"].isin(list(same_as)), kind="stable")
    accounts = renamed(tables.accounts.iloc[own_first], "account_id", "parent_id")
    prepaid: dict[str, tuple[float, float]] = {}
    for name, (first, last) in tables.prepaid.items():
        before = prepaid.get(company := same_as.get(name, name), (first, last))
        prepaid[company] = (min(first, before[0]), max(last, before[1]))
    return replace(
        tables,
        accounts=settled(_one_row_each(accounts, "accounts", "first"), "accounts"),
        deals=settled(renamed(tables.deals, "account_id"), "deals"),
        revenue=settled(_billed_together(tables.revenue, same_as), "revenue"),
        signals=settled(renamed(tables.signals, "account_id"), "signals"),
        same_as=same_as,
        prepaid=prepaid,
    )


def _billed_together(revenue: pd.DataFrame, same_as: Mapping[str, str]) -> pd.DataFrame:
    """Revenue is long: only the rows of those concerned are looked at one by one."""
    ids = revenue["account_id"].astype("category")
    touched = ids.isin([*same_as, *same_as.values()])
    stored = ids[touched].astype("str")
    of_them = _as_one(stored, same_as)
    names = ids.cat.categories.union(pd.Index(of_them.unique()))
    few = revenue[touched].assign(account_id=of_them)
    # A customer of billing that was first taken for one account of the company and later for
    # another stands in the warehouse under both. The row of the account itself is the later one.
    customer = few["billed_as"].fillna(stored) if "billed_as" in few else stored
    own_first = np.argsort(stored != of_them, kind="stable")
    few, customer = few.iloc[own_first], customer.iloc[own_first]
    again = few.assign(customer=customer).duplicated(["account_id", "month", "customer"])
    together = _one_row_each(few[~again], "revenue", "sum")
    ordered = bool(ids.cat.ordered)
    rest = revenue[~touched].assign(account_id=ids[~touched].cat.set_categories(names))
    together = together.assign(account_id=pd.Categorical(together["account_id"], names, ordered))
    return pd.concat([rest, together], ignore_index=True)


def _as_one(ids: pd.Series, same_as: Mapping[str, str]) -> pd.Series:
    return ids.map(dict(same_as)).fillna(ids)


def _one_row_each(table: pd.DataFrame, name: TableName, numbers: str) -> pd.DataFrame:
    """One row for each key: the first value given, of canonical numbers what `numbers` makes."""
    key = list(CONTRACTS[name].key)
    again = table.duplicated(key, keep=False)
    if not again.any():
        return table
    how = {c: numbers if c in CONTRACTS[name].numbers else "first" for c in table if c not in key}
    joined = table[again].groupby(key, dropna=False, sort=False, as_index=False).agg(how)
    return pd.concat([table[~again], joined.astype(table.dtypes)], ignore_index=True)


def _same_domain_and_name(last: pd.DataFrame) -> pd.DataFrame:
    """Accounts that bear the domain and the name of an earlier one: account_id, same_as.

    A parent and its subsidiary are two companies, and so are subsidiaries of different parents.
    """
    domains = _keys(last["domain"], domain_key)
    # A key of every name takes long where there are many accounts.
    domains = domains[domains.duplicated(keep=False)]
    names = _keys(last["name"].loc[domains.index], name_key)
    parents = last["parent_id"].loc[domains.index].fillna("")
    keys = pd.DataFrame({"domain": domains, "name": names}).dropna()
    keys = keys.assign(parent=parents).rename_axis("account_id").reset_index()
    same = keys.groupby(["domain", "name", "parent"])["account_id"]
    keys["same_as"] = same.transform("min")
    # So many are the shops of a chain, or a name that stands for none.
    few = same.transform("size") <= _MOST_OF_A_FAMILY
    found = keys[few & (keys["account_id"] != keys["same_as"])]
    return found[["account_id", "same_as"]].astype("str")


def _claims(
    of_customers: pd.Series,
    of_accounts: pd.Series,
    key: Callable[[str], str],
    same_as: Mapping[str, str],
) -> tuple[dict[str, str], set[str]]:
    """The account of each customer whose key nobody else bears, and whose key several bear.

    Accounts that are the `same_as` one another are one bearer: that which they count as.
    """
    ours, theirs = _keys(of_customers, key), _keys(of_accounts, key)
    there: dict[str, str] = {}
    shared = set(ours[ours.duplicated(keep=False)])
    for account, own in theirs.items():
        known = there.setdefault(str(own), str(account))
        if known != account:
            company = same_as.get(str(account), str(account))
            shared |= {str(own)} if same_as.get(known, known) != company else set()
            there[str(own)] = company
    met = {str(customer): str(own) for customer, own in ours.items() if own in there}
    alone = {customer: there[own] for customer, own in met.items() if own not in shared}
    return alone, set(met) - set(alone)


def _first_claim(
    customer: str, by_key: list[tuple[str, dict[str, str], set[str]]]
) -> tuple[str | None, str]:
    """Where one key is several accounts', the next one may decide."""
    for rule, alone, _ in by_key:
        if customer in alone:
            return alone[customer], rule
    return None, "ambiguous" if any(customer in shared for *_, shared in by_key) else "none"


def _of_itself(ids: pd.Index) -> pd.Series:
    return pd.Series(ids, index=ids, dtype="str")


def _keys(values: pd.Series, key: Callable[[str], str]) -> pd.Series:
    """The keys of those that have one."""
    found = values.dropna().astype("str").map(key)
    return found[found != ""]


def _last_known(accounts: pd.DataFrame) -> pd.DataFrame:
    """The last value given of what says who an account is, in the order of ids."""
    columns = ["account_id", "parent_id", "domain", "name", MERGED_INTO]
    plain = accounts.reindex(columns=columns).astype("str")
    return plain.groupby("account_id", sort=True).last()
