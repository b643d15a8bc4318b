"""A lint of an ICP in prose: too vague, or a person instead of an account.

Patterns of English words; what they cannot do stands at `lint_text`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from icploop.domain.findings import Finding

# Two constraints still fit thousands of companies ("US software, 500+ employees"); with a third
# somebody can check an account and come to a no.
FEWEST_CONSTRAINTS = 3
# From 10 to 1,000 employees is the range that is written down to exclude nobody.
WIDEST_RANGE = 100
# Whoever names more industries or countries than this has named the market.
LONGEST_LIST = 6


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
                "warning",
                f"{_quote(text)} describes a person (`{clue}`), not an account; say what the "
                "company is like, and put the role under decision authority or a trigger event.",
            )
        )
    return findings


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
        "too_vague",
        "warning",
        f"{_quote(text)} is too vague: it states {len(concrete)} kinds of concrete constraint "
        f"({', '.join(concrete) or 'none'}), of at least {FEWEST_CONSTRAINTS}{hardly}; add some of "
        f"{missing}.",
    )


def _quote(text: str) -> str:
    short = " ".join(text.split())
    return f"`{short if len(short) <= 60 else short[:57] + '...'}`"


# --- a person instead of an account ---------------------------------------------------------------

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
