"""A lint of an Ideal Customer Profile: what is wrong with it on its face, before any outcome.

It reads an ICP in prose (`lint_text`), lines of a hypothesis or a page (`lint_lines`) and a learned
profile (`lint_profile`). A finding is advice: whether it stops anything is decided elsewhere.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from icploop.domain.predicate import Predicate
from icploop.domain.profile import Profile
from icploop.settings import DIMENSIONS, Attribute

# Two constraints still fit thousands of companies ("US software, 500+ employees"); with a third
# somebody can check an account and come to a no.
FEWEST_CONSTRAINTS = 3
# Below four of the six dimensions a page is mostly firmographic, and every competitor has it too.
FEWEST_DIMENSIONS = 4
# Under a fiftieth of the market a list runs dry within a quarter, and a round has nobody to judge.
NARROWEST_MARKET = 0.02
# A page that misses four of five customers who did not shrink describes an anecdote.
NARROWEST_GOOD = 0.20
# Who selects more than three of five accounts has not told anybody whom to leave out.
WIDEST_MARKET = 0.60
# From 10 to 1,000 employees is the range that is written down to exclude nobody.
WIDEST_RANGE = 100
# Whoever names more industries or countries than this has named the market.
LONGEST_LIST = 6


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: the rule that it breaks, and a sentence with the remedy.

    The rules are `too-vague`, `too-narrow`, `few-dimensions`, `person`, `no-anti-icp`, `stale`,
    `shared-motion` and `contradiction`.
    """

    rule: str
    message: str


def lint_text(description: str) -> list[Finding]:
    """What is wrong with an ICP in prose: too vague, or a person instead of an account.

    Vague is a text with fewer than `FEWEST_CONSTRAINTS` kinds of concrete constraint. The kinds are
    the keys of `_CONSTRAINTS`; each counts once, however often it is met. Words that nearly every
    prospect would claim (mid-market, B2B, innovative) count nothing. A range that spans a factor of
    `WIDEST_RANGE` and a list of more than `LONGEST_LIST` industries or places count nothing either.

    A person is described where a trait that only people have is stated (age, gender, family,
    tastes, reading), where a sentence is about a role (`CTOs at ...`), or where a role is followed
    by `who`. A role is fine as an event of the account (`just hired a VP Compliance`), as its
    decision authority (`the CFO signs`) and as something that it has or lacks (`no CISO yet`).

    Limits: it knows English only, and matches words, not meaning. Industries, places and tools come
    from short lists (a tool also by its capital after `uses` or `runs`), so a rare one is missed;
    numbers in words are missed; a negation counts like its opposite; and it cannot tell who the
    subject is (`we recently launched ...` counts as an event). It can call a good text vague, never
    vouch for one: three concrete constraints may still be the wrong ones.
    """
    text = _plain(description)
    findings = []
    concrete = [kind for kind in _CONSTRAINTS if _constrains(kind, text)]
    if len(concrete) < FEWEST_CONSTRAINTS:
        findings.append(_vague(text, concrete))
    if clue := _person_clue(text):
        findings.append(
            Finding(
                "person",
                f"{_quote(text)} describes a person (`{clue}`), not an account; say what the "
                "company is like, and put the role under decision authority or a trigger event",
            )
        )
    return findings


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
            "few-dimensions",
            f"{place} says something in {len(used)} of {len(DIMENSIONS)} dimensions "
            f"({', '.join(sorted(used)) or 'none'}), of at least {FEWEST_DIMENSIONS}; add a line "
            f"under {' or '.join(unused)}",
        )


def _no_anti(has_anti: bool, place: str) -> Iterator[Finding]:
    if not has_anti:
        yield Finding(
            "no-anti-icp",
            f"{place} refuses nobody; write down who churns although they look right, as an "
            "exclusion or a line with points below zero",
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
                f"`{name}`{called} in {place} describes a person, not an account; take the line "
                "out, or replace it by what it says about the company",
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
                f"no account can fulfil {codes}, non-negotiable in {place}; join them into one "
                "line that can be fulfilled, or make one negotiable",
            )
        elif _all_refused(musts, nevers, name in categories):
            yield Finding(
                "contradiction",
                f"every account that fulfils {codes}, non-negotiable in {place}, is refused by its "
                f"anti-ICP ({_codes(nevers)}); drop one side or narrow it",
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
    ranges = [predicate.between for predicate in predicates if predicate.between is not None]
    lows = [low for low, _ in ranges if low is not None]
    highs = [high for _, high in ranges if high is not None]
    return max(lows, default=-math.inf), min(highs, default=math.inf)


def _levels(predicates: Iterable[Predicate]) -> list[frozenset[str]]:
    return [frozenset(p.any_of) for p in predicates if p.any_of is not None]


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
            "too-vague",
            f"{place} selects {market:.0%} of the market, more than {WIDEST_MARKET:.0%}: it leaves "
            "hardly anybody out; raise the cutoff or make a line non-negotiable",
        )
    if market is not None and market < NARROWEST_MARKET:
        yield Finding(
            "too-narrow",
            f"{place} selects {market:.2%} of the market, less than {NARROWEST_MARKET:.0%}; lower "
            "the cutoff or make a non-negotiable line negotiable",
        )
    if good is not None and good < NARROWEST_GOOD:
        yield Finding(
            "too-narrow",
            f"{place} selects {good:.1%} of the customers who did not shrink, less than "
            f"{NARROWEST_GOOD:.0%}; look who is missed, and widen the line that misses them",
        )


def _stale(as_of: date, today: date, place: str) -> Iterator[Finding]:
    # As tuples, because the 29th of February has no day a year later.
    if (as_of.year + 1, as_of.month, as_of.day) < (today.year, today.month, today.day):
        yield Finding(
            "stale",
            f"{place} was made as of {as_of:%Y-%m-%d}, more than a year before {today:%Y-%m-%d}; "
            "retrain it or confirm it anew",
        )


def _shared_motions(motions: Sequence[str]) -> Iterator[Finding]:
    # `SMB` and `smb ` are one motion, whoever wrote them.
    counts = Counter(motion.strip().casefold() for motion in motions)
    for motion in sorted(motion for motion, count in counts.items() if count > 1):
        yield Finding(
            "shared-motion",
            f"{counts[motion]} ICPs are in force on the motion `{motion}`; keep one, or split the "
            "motion under `motions` in the settings",
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


# --- prose ---------------------------------------------------------------------------------------


def _pattern(alternatives: str) -> re.Pattern[str]:
    """Whole words that are any of the alternatives; a line break and its indent mean nothing."""
    joined = "".join(line.strip() for line in alternatives.splitlines())
    return re.compile(rf"(?<![\w-])(?:{joined})(?!\w)", re.IGNORECASE)


_NUMBER = r"\d[\d,.]{0,12}(?: ?(?:k|m|thousand|million)\b)?"
_COUNT = rf"{_NUMBER} ?(?:\+|plus\b|or more\b)?(?: ?(?:-|to\b|and\b) ?{_NUMBER})?"
_HEADS = r"(?:employees|people|persons|ftes?|staff|headcount|workers|workforce)\b"
_FUNCTION = (
    r"(?:marketing|sales|revenue|it|hr|engineering|finance|operations|ops|product|data|security|"
    r"tech|technology|procurement|legal|compliance|customer success|support|growth|people|"
    r"business|project|talent|supply chain)"
)
_ROLE = (
    r"(?:(?:ceo|cfo|cto|cio|coo|cmo|cro|cpo|cdo|cso|cco|chro|ciso|cxo)s?|[se]?vps?|"
    r"vice presidents?|heads? of|directors?|chief \w+(?: \w+)? officers?|(?:co-?)?founders?|"
    r"entrepreneurs?|marketers?|decision[- ]makers?|business owners?|executives|"
    rf"{_FUNCTION} (?:managers?|leaders?|executives?|officers?|professionals?|specialists?))"
    r"(?![\w-])"
)
_DECIDES = (
    r"(?:signs?|approves?|owns|decides?|buys|holds|controls|sponsors|pays|has (?:the )?budget|"
    r"can sign|is (?:the |our |an? )?(?:economic )?(?:buyer|sponsor|champion|decision|signer))\b"
)
_HAPPENED = (
    r"(?:hired|raised|acquired|merged|launched|opened|migrated|switched|appointed|promoted|joined|"
    r"left|replaced|announced|signed|divested|relocated|rebranded)\b"
)
# What anybody may automate, track or sell: it says nothing, and neither does a preposition.
_ANYTHING = (
    r"(?:(?:and|at|by|in|is|of|on|or|per|record|that|who|with)\b|"
    r"(?:(?:a|all|an|its|more|better|the|their|to|through) )*"
    r"(?:business|process|efficien|operations|growth|work|everything|things|teams?\b|productivity|"
    r"software|data\b|products?\b|services?\b|solutions?|online|success|it\b|them\b|value|tools?\b|"
    r"compan|enterprise|consumer|customer|other|who)|"
    rf"(?:to )?{_ROLE})"
)
# A number beside one of these is no amount of anything that the account has.
_NO_AMOUNT = (
    rf"(?:{_HEADS}|(?:years?|months?|weeks?|days?|hours?|minutes|quarters?|companies|businesses|"
    r"firms|organi[sz]ations|startups|saas|enterprises|times|series|sales|is|has|was|as|plus|"
    r"across|this|likes|loves|enjoys|plays|reads|follows|reasons|degrees|percent)\b)"
)

# What a text can state, each with the words that state it. Order is the order of the messages.
_CONSTRAINTS: dict[str, re.Pattern[str]] = {
    "headcount": _pattern(
        rf"""{_COUNT} (?:[\w-]+ )?{_HEADS}|
        {_HEADS}(?::| of| between| from| over| under)* {_COUNT}|fortune \d+|global 2000"""
    ),
    "money": _pattern(
        rf"""[$€£] ?\d[\w.,]*|
        {_NUMBER} ?(?:bn|b|mn)? ?(?:in |of )?(?:annual |yearly )?
        (?:usd|eur|gbp|dollars|euros|arr|mrr|revenue|turnover|aum|gmv|acv|budget)|
        (?:arr|mrr|revenue|turnover|aum|gmv|acv|budget)
        (?::| of| above| over| between| from| under)* {_NUMBER}"""
    ),
    "amount": _pattern(
        rf"""(?<![/.$€£]){_COUNT} (?:(?!{_NO_AMOUNT})[\w-]+ ){{0,2}}?
        (?!{_NO_AMOUNT})[a-z][\w-]*s"""
    ),
    "rate": re.compile(r"(?<![\w.-])(?!100 ?%)\d{1,9}(?:\.\d+)?(?: ?%| percent\b)"),
    "stage": _pattern(
        r"""series [a-h]|pre-?seed|seed[- ](?:stage|funded|round)|bootstrapped|profitable|
        publicly (?:traded|listed|held)|(?:pre|post)-?ipo|y combinator|
        (?:pe|vc|venture|private equity)[- ](?:backed|owned|funded)|
        family-(?:owned|run)|founder-(?:led|owned)"""
    ),
    "company age": _pattern(
        r"""(?:founded|established|in business)(?: in| after| before| since| for| over| at least)*
        [ ]?\d+|(?:compan|business|firm|startup)\w* (?:\w+ ){0,2}\d+(?:-\d+)? years old"""
    ),
    "industry": _pattern(
        r"""(?:highly |heavily |strictly )?
        regulated (?:industr|sector|market|environment|compan|business|entit)\w*|
        health ?-?care|hospitals?|clinics?|med ?tech|medical|pharma\w*|bio ?-?tech\w*|
        life sciences?|dental|dentists|veterinary|fin ?tech\w*|bank(?:s|ing)|credit unions?|
        insur\w+|lenders?|lending|crypto\w*|financial (?:services|institutions?)|brokerages?|
        wealth management|(?:asset|wealth|fund|property) manage(?:rs|ment)|private equity firms|
        retail\w*|e-?commerce|d2c|dtc|fashion|apparel|cosmetics|grocer\w+|restaurants?|
        hospitality|hotels?|airlines?|travel (?:agenc|compan|tech)\w*|logistics|freight|carriers|
        trucking|3pls?|wholesale\w*|distributors?|manufactur\w+|automotive|aerospace|defen[cs]e|
        semiconductors?|chemicals?|industrials?|construction|contractors|real estate|prop ?tech|
        energy|oil (?:and|&) gas|utilities|renewables?|solar|mining|agri\w+|
        food (?:and|&|process|produc|manufact)\w*|telecom\w*|(?<!social )media|publishers?|
        publishing|gaming|games? studios?|sports (?:club|bet)\w*|education|ed ?tech|
        universit(?:y|ies)|schools?|non-?profits?|charit(?:y|ies)|ngos?|government|
        public sector|municipal\w*|law firms?|legal ?tech|account(?:ing firms?|ants?)|
        consult(?:ing|anc(?:y|ies))|agenc(?:y|ies)|staffing|ad ?tech|mar ?tech|hr ?tech|
        cyber ?-?security|climate ?tech|dev(?:eloper)? ?tools|msps?|managed service providers?|
        marketplaces?|gyms|salons|breweries|wineries|franchis\w+"""
    ),
    "regulation": _pattern(
        r"""soc ?2|hipaa|gdpr|pci(?:[- ]dss)?|iso ?\d{4,5}|fedramp|ccpa|mifid|nis ?2|cmmc|csrd|
        finra|(?-i:SOX|DORA|AML|KYC|FDA|GxP)"""
    ),
    "place": _pattern(
        r"""(?-i:US|USA|UK|EU|EMEA|APAC|LATAM|DACH|GCC|MENA|ANZ|UAE)|
        (?:north |latin |south )americ\w+|united (?:states|kingdom)|europe(?:an)?|nordics?|
        scandinavian?|benelux|baltics?|german[y]?|french|france|spain|spanish|portugal|portuguese|ital(?:y|ian)|
        british|england|scotland|scottish|wales|ireland|irish|dutch|netherlands|belgi\w+|swiss|switzerland|austrian?|
        polish|poland|swed(?:en|ish)|norw\w+|danish|denmark|finland|finnish|canad\w+|mexic\w+|
        brazil\w*|indian?|japan\w*|china|chinese|singapore|australian?|new zealand|africa\w*|
        israeli?|california\w*|texas|new york|london|berlin|
        (?:based|headquartered|located|incorporated|offices?) (?:in|near) (?:the )?(?-i:[A-Z])\w+"""
    ),
    "tool": _pattern(
        r"""(?:use|uses|using|run|runs|running|built on|hosted (?:on|in)|stack (?:of|on|includes)|
        migrat\w+ (?:from|to|off)|switch\w+ (?:from|to)|moved? off|replac\w+|customers? of|
        integrat\w+ with|standardi[sz]ed on)
        (?: an?| the| their)? (?!(?:AI|ML|SaaS|B2B|Case|Cloud|Technology|APIs?)\b)
        (?-i:[a-z]?[A-Z])\w+|
        (?:no|without|lacks?|lacking|has|have|uses?|using|runs?|running|with)
        (?: an?| any| their| own| in-house| legacy| custom)*
        [ ](?:crm|erp|sso|cdp|hris|lms|wms|mfa|siem|data (?:warehouse|lake)|mainframes?|vpn)|
        salesforce|hubspot|marketo|netsuite|sap|oracle|workday|okta|azure(?: ad)?|aws|gcp|
        snowflake|databricks|bigquery|redshift|dbt|kubernetes|docker|terraform|zendesk|intercom|
        jira|slack|shopify|magento|stripe|quickbooks|xero|datadog|splunk|github|gitlab|jenkins|
        servicenow|sharepoint|(?:office|microsoft) 365|google workspace|tableau|power bi|looker|
        postgres\w*|mongodb|kafka|airflow|wordpress|on-prem(?:ises?)?"""
    ),
    "use case": _pattern(
        rf"""(?:automat|consolidat|reconcil|onboard|forecast|invoic|dispatch|schedul|locali[sz]|
        encrypt|archiv|digiti[sz]|synchroni[sz]|ingest|embed|annotat|translat|provision|process|
        collect|stor|monitor|track|manag|sell|shipp?|deliver|handl|insur|rent|leas)
        (?:e|s|es|ing|ting|ding)?(?: directly)? (?!{_ANYTHING})[\w-]+|
        (?:usage-based|subscription|seat-based|recurring|metered) (?:billing|pricing|revenue)|
        product-led|self-serve|sales-led|open-source|white-label"""
    ),
    "trigger event": _pattern(
        rf"""{_HAPPENED}|(?:just|recently|newly) (?:\w+(?:ed|ew|ought|ost)|went public)|
        went public|closed (?:an?|its|their|the|series)|expand(?:ed|ing)? (?:to|into)|
        opening (?:an?|its|their)|ipo|funding round|merger|acquisition|
        replatforming|reorgani[sz]ation|layoffs?|
        hiring (?:an?|for|its|their|first|\d+)|(?:job|open) (?:post|ad|role|position|vacanc)\w*|
        new (?:\w+ )?{_ROLE}|contract (?:ends|expires)|renewal|
        (?:in|within|over|during) (?:the )?(?:last|past|next) (?:\w+ )?
        (?:day|week|month|quarter|year)s?|
        within \d+ (?:day|week|month|quarter)s?"""
    ),
    "decision authority": _pattern(
        rf"""{_ROLE}(?: (?:of )?\w+){{0,2}}? {_DECIDES}|
        (?:buyer|champion|sponsor|budget|decision|signed|owned|approved|sponsored|purchase)s?
        (?: (?:is|by|with|lies|sits|holder|maker|owner|the|an?|at|made|held)\b){{0,5}}:? {_ROLE}|
        (?:has|have|having|with|without|no|lacks?)(?: an?| their| its| own| dedicated| full-time)*
        [ ]{_ROLE}|
        (?:dedicated|in-house|internal|full-time|no|without an?) (?:[\w-]+ ){{0,2}}
        (?:team|department)s?"""
    ),
    "pain": _pattern(
        r"""fail(?:ed|ing|s)? (?:\w+ ){0,3}(?:audit|inspection|review|exam)\w*|fined|
        (?:data )?breach\w*|outages?|backlogs?|complain\w*|by hand|manual(?:ly)?|spreadsheets?|
        excel|miss(?:ed|es|ing) (?:sla|deadline|quarter|target|payment)\w*|chargebacks?|
        los(?:t|es|ing) (?:deals|customers|revenue|money|\d+)|churn (?:of|above|over|rose)|
        \d+\+? hours (?:an?|per|of|on)|stock-?outs?|downtime|overdue"""
    ),
}
# Words that leave hardly anybody out; they are named in the message and count nothing.
_GENERIC = _pattern(
    r"""mid-?market|mid-?sized?|sm[be]s?|enterprises?|b2b|b2c|saas|software|tech|technology|
    compan(?:y|ies)|business(?:es)?|firms?|organi[sz]ations?|start-?ups?|scale-?ups?|leaders?|
    leading|innovative|fast-growing|growing|high-growth|tech-savvy|forward-thinking|modern|
    digital|data-driven|customer-centric|ambitious|agile|global|worldwide|all industries|
    any (?:size|industry)|early-stage|growth-stage|late-stage|cloud|ai|scaling|quality|
    established|successful|small|medium|large|big"""
)


def _plain(description: str) -> str:
    """The text with one kind of dash and space; a line that goes on in lower case is joined."""
    dashes = re.sub(r"[\u2010-\u2015\u2212]", "-", description)
    spaces = re.sub(r"[^\S\n]+", " ", dashes)
    return re.sub(r" ?\n ?(?=[a-z])", " ", spaces).strip()


def _constrains(kind: str, text: str) -> bool:
    found = [match[0].casefold() for match in _CONSTRAINTS[kind].finditer(text)]
    if kind == "headcount":
        return any(not _spans_everything(match) for match in found)
    if kind in ("industry", "place"):
        return 0 < len(set(found)) <= LONGEST_LIST
    return bool(found)


def _spans_everything(headcount: str) -> bool:
    """Whether a range of employees is so wide that hardly anybody falls outside."""
    found = re.findall(r"(\d[\d,]*(?:\.\d+)?) ?(k\b|thousand)?", headcount)
    ends = [float(digits.replace(",", "")) * (1000 if k else 1) for digits, k in found]
    # A range that starts at one employee means small businesses, up to a point.
    return ends[0] <= 1 if len(ends) == 1 else max(ends) / max(min(ends), 10) >= WIDEST_RANGE


def _vague(text: str, concrete: Sequence[str]) -> Finding:
    generic = {match[0].casefold(): match[0] for match in _GENERIC.finditer(text)}
    words = ", ".join(f"`{word}`" for word in list(generic.values())[:5])
    verb = "leaves" if len(generic) == 1 else "leave"
    hardly = f"; {words} {verb} hardly anybody out" if generic else ""
    missing = ", ".join(kind for kind in _CONSTRAINTS if kind not in concrete)
    return Finding(
        "too-vague",
        f"{_quote(text)} is too vague: it states {len(concrete)} kinds of concrete constraint "
        f"({', '.join(concrete) or 'none'}), of at least {FEWEST_CONSTRAINTS}{hardly}; add some of "
        f"{missing}",
    )


def _quote(text: str) -> str:
    short = " ".join(text.split())
    return f"`{short if len(short) <= 60 else short[:57] + '...'}`"


# --- prose about a person ------------------------------------------------------------------------

_SENTENCE = re.compile(r"[.;!?](?=\s|$)|\n")
_AGE = r"[2-7]\d(?: ?(?:-|to|and) ?[2-7]\d)?"
_TASTE = (
    r"(?:likes|loves|enjoys|plays|reads|follows|listens to|subscribes to|watches|attends|"
    r"is passionate about|cares about|drinks|feels|dreams of|worries about)\b"
)
_LEISURE = (
    r"(?:golf|tennis|yoga|hiking|skiing|running|cycling|wine|craft beer|travel\w*|football|"
    r"podcasts?|cooking|fishing|sailing|coffee|dogs|cats|music|reading|gadgets|sports?)"
)
# What only people have: each is a clue on its own.
_TRAITS = _pattern(
    rf"""personas?|(?:fe)?male(?!-)|(?:wo)?m[ae]n(?!['’-])|married|divorced|(?:mother|father) of|
    hobb(?:y|ies)|
    (?:has|have|with) (?:a family|(?:\w+ )?kids)|introverts?|extroverts?|lives in|commutes|
    works out|active on (?:linkedin|twitter|x)|millennials? (?:\w+ )?{_ROLE}|
    in (?:his|her|their) (?:early |mid |late |mid-)?
    (?:[2-7]0s|twenties|thirties|forties|fifties|sixties)|
    {_AGE} ?(?:y/?o|years? of age)|{_AGE}[- ]years?[- ]olds? (?:\w+ )?{_ROLE}|
    {_TASTE} (?:to )?(?:\w+ )?{_LEISURE}"""
)
# What companies have too: a clue only after somebody was named in the same sentence. Without a
# bound, a long text without a full stop would be searched anew from each role.
_HUMAN_TRAITS = _pattern(
    rf"""(?:{_ROLE}|(?:someone|somebody|person|individual)\b)
    (?:[^,]{{0,80}}?\b{_TASTE}|
    .{{0,80}}?(?:\bm\.?b\.?a|\bgraduated|\bsalary|[,(] ?{_AGE}(?= ?(?:[,;.)]|$|years? old))|
    \bage[ds]?:? (?:between )?{_AGE}|\b{_AGE} years? old))"""
)
_LEAD = re.compile(
    r"[-*•\s]*(?:(?:our|the|we|an?|my)\s+)?(?:(?:ideal|perfect|best|target)\s+)?"
    r"(?:customers?(?:\s+profile)?|icp|audience|sell to|target|focus on|serve)?"
    r"(?:\s+(?:is|are)\b|:)?\s*",
    re.IGNORECASE,
)
_ABOUT_A_ROLE = _pattern(
    rf"""(?:(?:an?|the|any|busy|senior|junior|young|experienced|technical|visionary|innovative|
    overworked|stressed|ambitious|\w+-\w+|b2b|saas|startup|tech|{_FUNCTION}),? ){{0,4}}?{_ROLE}
    (?! (?:(?!(?:at|for|from|in|that|who|with)\b)[\w&]+ ){{0,4}}?
    (?:who )?(?:(?:is|just|recently|was|were) )?
    (?:{_DECIDES}|{_HAPPENED}|started|changed|in place|on board|turnover))"""
)
_ROLE_WHO = re.compile(
    rf"(?<![\w-]){_ROLE}(?: (?!and\b|{_HAPPENED})[\w&]+){{0,4}}? who\b"
    rf"(?! (?:just |recently )?(?:{_DECIDES}|{_HAPPENED}|reports?\b|must\b))",
    re.IGNORECASE,
)
# `just hired a VP Compliance who ...`: what follows is still about the event.
_EVENT_BEFORE = re.compile(
    rf"\b(?:{_HAPPENED}|(?:new|hiring|has|have|with|without|no|first)\b)(?: \w+){{0,3}} ?$",
    re.IGNORECASE,
)


def _person_clue(text: str) -> str | None:
    """The words that describe a person, or None."""
    for sentence in _SENTENCE.split(text):
        found = _TRAITS.search(sentence) or _HUMAN_TRAITS.search(sentence)
        lead = _LEAD.match(sentence)
        found = found or _ABOUT_A_ROLE.match(sentence, lead.end() if lead else 0)
        found = found or _role_who(sentence)
        if found:
            return found[0].strip()
    return None


def _role_who(sentence: str) -> re.Match[str] | None:
    for found in _ROLE_WHO.finditer(sentence):
        if not _EVENT_BEFORE.search(sentence[: found.start()]):
            return found
    return None
