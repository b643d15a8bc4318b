"""A lint of an Ideal Customer Profile: what is wrong with it on its face, before any outcome.

It reads lines of a hypothesis or a page (`lint_lines`) and a learned profile (`lint_profile`);
prose is read by `domain/prose.py`. A finding is advice: whether it stops anything is decided
elsewhere.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from icploop.domain.findings import Finding
from icploop.domain.predicate import Predicate
from icploop.domain.profile import Profile
from icploop.settings import DIMENSIONS, Attribute

# Below four of the six dimensions a page is mostly firmographic, and every competitor has it too.
FEWEST_DIMENSIONS = 4
# Under a fiftieth of the market a list runs dry within a quarter, and a round has nobody to judge.
NARROWEST_MARKET = 0.02
# A page that misses four of five customers who did not shrink describes an anecdote.
NARROWEST_GOOD = 0.20
# Who selects more than three of five accounts has not told anybody whom to leave out.
WIDEST_MARKET = 0.60


def lint_lines(
    lines: Sequence[tuple[str, Predicate]],
    has_anti: bool,
    *,
    required: Sequence[Predicate] = (),
    anti: Sequence[Predicate] = (),
    attributes: Sequence[Attribute] = (),
    place: str = "the ICP",
) -> list[Finding]:
    """What is wrong with lines of an ICP, stated or learned; their order changes nothing.

    Args:
        lines: The dimension and the condition of each line that counts for an account.
        has_anti: Whether anything says whom to refuse (an exclusion, or a line with points below
            zero).
        required: The conditions that are not negotiable: an account must fulfil them all.
        anti: The conditions of the anti-ICP, each of which refuses an account.
        attributes: The declared attributes. Their labels are read like their names; and only a
            declared category is known to have one level, so that two lines without a common level
            contradict each other (an account may have both members of a set).
        place: Where the lines stand, for the messages.
    """
    conditions = [*(predicate for _, predicate in lines), *required, *anti]
    return [
        *_few_dimensions({dimension for dimension, _ in lines}, place),
        *_no_anti(has_anti, place),
        *_persons({c.attribute for c in conditions}, attributes, place),
        *_contradictions(required, anti, attributes, place),
    ]


def lint_profile(
    profile: Profile,
    *,
    as_of: date,
    today: date,
    market_share: float | None,
    good_share: float | None,
    motions: Sequence[str] = (),
    attributes: Sequence[Attribute] = (),
    place: str = "the ICP",
) -> list[Finding]:
    """What is wrong with a learned profile, by every rule that needs no prose.

    Its `stated` lines are the hypothesis of the settings: lint them by `lint_lines`.

    Args:
        profile: The profile. A line that gives no points and is negotiable counts for nothing.
        as_of: The day on which the profile was made.
        today: The day on which it is read.
        market_share: The share (0..1) of the market that it selects; None or nan if unknown.
        good_share: The share (0..1) of the customers who did not shrink that it selects; None or
            nan if unknown.
        motions: The motion of each ICP in force, this one's included, one entry an ICP.
        attributes: The declared attributes, as for `lint_lines`.
        place: Where the profile stands, for the messages.
    """
    working = [line for line in profile.lines if line.points or line.non_negotiable]
    return [
        *_width(_share("market_share", market_share), _share("good_share", good_share), place),
        *lint_lines(
            [(line.dimension, line.predicate) for line in working],
            bool(profile.anti) or any(line.points < 0 for line in working),
            required=[line.predicate for line in working if line.non_negotiable],
            anti=[refusal.predicate for refusal in profile.anti],
            attributes=attributes,
            place=place,
        ),
        *_stale(as_of, today, place),
        *_shared_motions(motions),
    ]


# --- lines ---------------------------------------------------------------------------------------


def _few_dimensions(used: set[str], place: str) -> Iterator[Finding]:
    if len(used) < FEWEST_DIMENSIONS:
        unused = [dimension for dimension in DIMENSIONS if dimension not in used]
        yield Finding(
            "few_dimensions",
            "warning",
            f"{_first(place)} says something in {len(used)} of {len(DIMENSIONS)} dimensions "
            f"({', '.join(sorted(used)) or 'none'}), of at least {FEWEST_DIMENSIONS}; add a line "
            f"under {' or '.join(unused)}.",
        )


def _no_anti(has_anti: bool, place: str) -> Iterator[Finding]:
    if not has_anti:
        yield Finding(
            "no_anti_icp",
            "warning",
            f"{_first(place)} refuses nobody; write down who churns although they look right, as "
            "an exclusion or a line with points below zero.",
        )


def _persons(
    names: Iterable[str], attributes: Sequence[Attribute], place: str
) -> Iterator[Finding]:
    labels = {a.name: a.label for a in attributes}
    for name in sorted(names):
        label = labels.get(name, "")
        if _names_a_person(name) or _names_a_person(label):
            called = f" ({label})" if label and label != name else ""
            yield Finding(
                "person",
                "warning",
                f"`{name}`{called} in {place} describes a person, not an account; take the line "
                "out, or replace it by what it says about the company.",
            )


def _contradictions(
    required: Sequence[Predicate],
    anti: Sequence[Predicate],
    attributes: Sequence[Attribute],
    place: str,
) -> Iterator[Finding]:
    categories = {a.name for a in attributes if a.kind == "category"}
    for name in sorted({predicate.attribute for predicate in required}):
        musts = [predicate for predicate in required if predicate.attribute == name]
        nevers = [predicate for predicate in anti if predicate.attribute == name]
        codes = _codes(musts)
        if _exclude_each_other(musts, name in categories):
            yield Finding(
                "contradiction",
                "warning",
                f"No account can fulfil {codes}, non-negotiable in {place}; join them into one "
                "line that can be fulfilled, or make one negotiable.",
            )
        elif _all_refused(musts, nevers, name in categories):
            yield Finding(
                "contradiction",
                "warning",
                f"Every account that fulfils {codes}, non-negotiable in {place}, is refused by its "
                f"anti-ICP ({_codes(nevers)}); drop one side or narrow it.",
            )


def _exclude_each_other(musts: Sequence[Predicate], one_level: bool) -> bool:
    """Whether no value of the attribute fulfils all of them."""
    low, high = _common_range(musts)
    flags = {must.is_true for must in musts if must.is_true is not None}
    levels = _levels(musts)
    return (
        low > high
        or len(flags) > 1
        or not all(levels)
        or (one_level and bool(levels) and not frozenset.intersection(*levels))
    )


def _all_refused(musts: Sequence[Predicate], nevers: Sequence[Predicate], one_level: bool) -> bool:
    """Whether some part of the anti-ICP holds wherever all of `musts` do."""
    refused = frozenset[str]().union(*_levels(nevers))
    # In a category all lines speak of the same level; in a set each may be met by another member.
    levels = _levels(musts)
    wanted = [frozenset.intersection(*levels)] if one_level and levels else levels
    low, high = _common_range(musts)
    flags = {must.is_true for must in musts} - {None}
    return (
        any(levels <= refused for levels in wanted)
        or any(never.is_true in flags for never in nevers)
        or any(_common_range([never, *musts]) == (low, high) for never in nevers if never.between)
    )


def _common_range(predicates: Iterable[Predicate]) -> tuple[float, float]:
    ranges = [(*p.between, p.below) for p in predicates if p.between is not None]
    lows = [low for low, _, _ in ranges if low is not None]
    highs = [
        math.nextafter(high, -math.inf) if below else high
        for _, high, below in ranges
        if high is not None
    ]
    return max(lows, default=-math.inf), min(highs, default=math.inf)


def _levels(predicates: Iterable[Predicate]) -> list[frozenset[str]]:
    return [frozenset(p.any_of) for p in predicates if p.any_of is not None]


def _first(place: str) -> str:
    """A place as a sentence begins with it."""
    return place[:1].upper() + place[1:]


def _codes(predicates: Iterable[Predicate]) -> str:
    return " and ".join(sorted({f"`{predicate.code()}`" for predicate in predicates}))


# --- a whole profile -----------------------------------------------------------------------------


def _share(name: str, share: float | None) -> float | None:
    if share is None or math.isnan(share):
        return None
    if not 0 <= share <= 1:
        raise ValueError(f"{name} is {share:g}; give a share from 0 to 1, or None if unknown")
    return share


def _width(market: float | None, good: float | None, place: str) -> Iterator[Finding]:
    if market is not None and market > WIDEST_MARKET:
        yield Finding(
            "too_vague",
            "warning",
            f"{_first(place)} selects {market:.0%} of the market, more than {WIDEST_MARKET:.0%}: "
            "it leaves hardly anybody out; raise the cutoff or make a line non-negotiable.",
        )
    if market is not None and market < NARROWEST_MARKET:
        yield Finding(
            "too_narrow",
            "warning",
            f"{_first(place)} selects {market:.2%} of the market, less than "
            f"{NARROWEST_MARKET:.0%}; lower the cutoff or make a non-negotiable line negotiable.",
        )
    if good is not None and good < NARROWEST_GOOD:
        yield Finding(
            "too_narrow",
            "warning",
            f"{_first(place)} selects {good:.1%} of the customers who did not shrink, less than "
            f"{NARROWEST_GOOD:.0%}; look who is missed, and widen the line that misses them.",
        )


def _stale(as_of: date, today: date, place: str) -> Iterator[Finding]:
    # As tuples, because the 29th of February has no day a year later.
    if (as_of.year + 1, as_of.month, as_of.day) < (today.year, today.month, today.day):
        yield Finding(
            "stale_icp",
            "warning",
            f"{_first(place)} was made as of {as_of:%Y-%m-%d}, more than a year before "
            f"{today:%Y-%m-%d}; retrain it or confirm it anew.",
        )


def _shared_motions(motions: Sequence[str]) -> Iterator[Finding]:
    # `SMB` and `smb ` are one motion, whoever wrote them.
    counts = Counter(motion.strip().casefold() for motion in motions)
    for motion in sorted(motion for motion, count in counts.items() if count > 1):
        yield Finding(
            "shared_motion",
            "warning",
            f"{counts[motion]} ICPs are in force on the motion `{motion}`; keep one, or split the "
            "motion under `motions` in the settings.",
        )


# --- names that speak of a person ----------------------------------------------------------------


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PERSONAL = _words(
    """age ages birth birthdate birthday born children disability dob email emails ethnicity
    gender hobbies hobby kids mail marital married nationality personality phone political race
    religion salary sex spouse telephone"""
)
_WHO = _words(
    """admin buyer ceo cfo champion cio cmo contact coo cro cto decision executive founder lead
    leader maker manager owner person persona personal signer sponsor user vp"""
)
_GIVEN = frozenset({"family", "first", "full", "given", "last", "maiden", "middle"})
# Words beside a personal one that leave it personal: `birth_date`, `age_group`, `work_email`.
_BESIDE = _GIVEN | _words(
    """address at band bracket date group has home id is level main mobile name number of on
    preferred primary private range s secondary status views work year years"""
)


def _names_a_person(name: str) -> bool:
    """Whether a name such as `birth_date`, `contactEmail` or `First name` is a person's.

    A personal word counts alone or beside words of a person, so that `company_age`,
    `email_provider` and `phone_system` stay an account's.
    """
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = set(re.findall(r"[a-z]+", apart.casefold()))
    if words & {"firstname", "fullname", "lastname", "surname"}:
        return True
    if not words <= _PERSONAL | _WHO | _BESIDE:
        return False
    return bool(words & _PERSONAL) or ("name" in words and bool(words & (_WHO | _GIVEN)))
