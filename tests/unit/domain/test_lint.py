import math
from collections.abc import Sequence
from datetime import date
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icploop.domain.findings import Finding
from icploop.domain.lint import (
    NARROWEST_GOOD,
    NARROWEST_MARKET,
    WIDEST_MARKET,
    lint_lines,
    lint_profile,
)
from icploop.domain.predicate import Predicate
from icploop.domain.profile import Evidence, Line, Profile, Refusal
from icploop.domain.prose import lint_text
from icploop.settings import DIMENSIONS, Attribute

EVIDENCE = Evidence(30, 100, 1.2, 0.9, 0.95, 0.8, 0.1, 0.5, 14.0)
ATTRIBUTES = (
    Attribute(name="employees", dimension="firmographic", kind="number", label="employees"),
    Attribute(name="industry", dimension="firmographic", kind="category", label="industry"),
    Attribute(name="tech", dimension="technographic", kind="set", label="tech"),
    Attribute(name="hired_at", dimension="trigger_event", kind="date", label="hired"),
    Attribute(name="sponsor", dimension="decision_authority", kind="flag", label="sponsor"),
    Attribute(name="buyer_a", dimension="decision_authority", kind="number", label="Buyer's age"),
)
PREDICATES = st.one_of(
    st.builds(
        lambda low, width: Predicate("employees", between=(low, low + width)),
        st.integers(0, 50),
        st.integers(0, 50),
    ),
    st.builds(
        lambda name, levels: Predicate(name, any_of=tuple(sorted(levels))),
        st.sampled_from(["industry", "tech", "gender"]),
        st.sets(st.sampled_from("abcd"), min_size=1),
    ),
    st.builds(lambda yes: Predicate("sponsor", is_true=yes), st.booleans()),
)
LINES = st.lists(st.tuples(st.sampled_from(DIMENSIONS), PREDICATES), max_size=8)


def codes(findings: Sequence[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def lines_of(count: int) -> list[tuple[str, Predicate]]:
    return [(dimension, Predicate(f"x_{dimension}", is_true=True)) for dimension in DIMENSIONS][
        :count
    ]


def refusal(predicate: Predicate) -> Refusal:
    return Refusal("pain_proof", predicate, True, "", (), 0, 0.0, EVIDENCE)


def profile(
    *lines: Line, anti: Sequence[Predicate] = (Predicate("free_plan", is_true=True),)
) -> Profile:
    whole = tuple(Line(dimension, p, 2, EVIDENCE) for dimension, p in lines_of(4))
    return Profile(lines=(*whole, *lines), anti=tuple(map(refusal, anti)), matured=100)


def lint(
    page: Profile,
    *,
    as_of: date = date(2025, 3, 1),
    today: date = date(2025, 6, 1),
    market_share: float | None = 0.2,
    good_share: float | None = 0.5,
    motions: Sequence[str] = (),
) -> list[Finding]:
    return lint_profile(
        page,
        as_of=as_of,
        today=today,
        market_share=market_share,
        good_share=good_share,
        motions=motions,
        attributes=ATTRIBUTES,
    )


VAGUE = [
    "mid-market B2B SaaS companies",
    "Fast-growing, innovative technology companies",
    "SMBs that want to grow their business",
    "Enterprise software companies in the US with 500+ employees",
    "Forward-thinking organisations undergoing digital transformation",
    "Any company that needs better data",
    "Companies of all sizes across all industries",
    "Global enterprises that want to automate their processes",
    "High-growth startups with a strong team and excellent culture",
    "Tech-savvy businesses with 1-10,000 employees that value quality",
    "B2B in healthcare, retail, manufacturing, education, government, logistics, energy; 50+ staff",
    "Established mid-sized firms with budget and a need for efficiency",
    "Top 100 SaaS companies in Europe",
    "Agile, data-driven, customer-centric scale-ups looking for 24/7 support",
    "Fintech startups in Europe",
    "Companies that sell to enterprises and care about success",
    "",
]
CONCRETE = [
    "Series B SaaS, 100-500 employees, regulated industries, just hired a VP Compliance",
    "US credit unions with $500M to $2B in assets that migrated to Snowflake last year",
    "Manufacturers with 20+ plants in Germany, running SAP on-premise, whose CIO signs",
    "Shopify stores with $5m-$20m GMV and 3+ warehouses, shipping to the EU",
    "PE-backed dental groups, 10 to 50 clinics, closing the books by hand in spreadsheets",
    "Hospitals with 200 to 800 beds that failed their HIPAA audit, no dedicated security team",
    "Seed-stage fintechs hiring their first compliance officer, subject to GDPR, on AWS",
    "Logistics firms with 50–200 trucks that dispatch drivers by phone, with a new COO",
    "Law firms of 30-150 people using iManage that opened a second office",
    "Product-led SaaS with usage-based pricing, 50-250 employees, over 10,000 invoices a month",
    "Bootstrapped agencies in the UK with 10-40 staff that use HubSpot",
    "Insurers founded before 2000, still on a mainframe, where the CFO owns the budget",
    "- Industry: fintech\n- Size: 100-500 employees\n- Event: raised a Series A\n- Tools: Okta",
    "Companies with 200-1,000 FTEs who reconcile payments across 5+ currencies and run NetSuite",
    "Property managers with 500+ units in Texas on QuickBooks",
]
PERSONS = [
    "CTO, 35-45, likes golf",
    "VP of Marketing who reads TechCrunch",
    "Marketing leaders at B2B companies",
    "Our ideal customer is a busy CFO in her forties",
    "Series B SaaS, 100-500 employees, US, buyer is a CEO who loves podcasts",
    "Female founders, married, with two kids",
    "We sell to CTOs at Series B fintechs that raised money",
    "Head of Sales, MBA, active on LinkedIn",
    "A 40 year old VP of Engineering at a startup",
    "Someone who enjoys craft beer and attends SaaStr",
    "Marketing Mary persona: 32, lives in Austin",
    "Ambitious, data-driven sales managers",
    "Decision makers who are early adopters",
]
EVENTS_AND_AUTHORITY = [
    "just hired a VP Compliance",
    "Series A fintechs in the UK, appointed a new CFO in the last 90 days, 50-200 employees",
    "Head of Data hired within 6 months, 200+ employees, on Snowflake",
    "Retailers with 100-400 stores whose CMO left and who are hiring a Head of E-commerce",
    "hired a CISO who must pass SOC 2, Series B, 50-90 people",
    "New VP Sales within 90 days, HubSpot, 40-80 employees",
    "CFO signs, 100-500 employees, regulated industries",
    "Series B, CFO who signs the contract, 35-45 people, on Okta",
    "the CTO is the economic buyer, US hospitals, 300+ beds",
    "Banks with 500-900 employees, no CISO yet, fined last year",
    "Women-owned, founder-led manufacturers with 50-100 employees in Texas",
    "Retailers selling women's clothing with 10+ stores in Spain",
]


@pytest.mark.parametrize("description", VAGUE)
def test_prose_that_leaves_hardly_anybody_out_is_vague(description: str) -> None:
    assert codes(lint_text(description)) == ["too_vague"]


@pytest.mark.parametrize("description", CONCRETE)
def test_prose_with_concrete_constraints_about_an_account_passes(description: str) -> None:
    assert lint_text(description) == []


@pytest.mark.parametrize("description", PERSONS)
def test_prose_about_a_person_is_flagged(description: str) -> None:
    assert "person" in codes(lint_text(description))


@pytest.mark.parametrize("description", EVENTS_AND_AUTHORITY)
def test_a_role_in_an_event_or_as_authority_is_no_person(description: str) -> None:
    assert "person" not in codes(lint_text(description))


def test_the_message_names_the_text_the_empty_words_and_the_remedy() -> None:
    (finding,) = lint_text("mid-market B2B SaaS companies, 100-500 employees")
    for part in ("`mid-market B2B", "`SaaS`", "(headcount)", "add some of", "trigger event"):
        assert part in finding.message
    (_, person) = lint_text("CTO, 35-45, likes golf")
    assert "likes golf" in person.message
    assert "decision authority" in person.message


@pytest.mark.parametrize("wide", ["10-1,000 employees", "1-5k employees", "1+ employees"])
def test_a_headcount_that_everybody_has_is_no_constraint(wide: str) -> None:
    rest = "Series B fintechs, "
    assert codes(lint_text(rest + wide)) == ["too_vague"]
    assert lint_text(rest + "10-100 employees") == []


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert set(codes(lint_text(text))) <= {"too_vague", "person"}


@given(st.sampled_from(VAGUE + CONCRETE + PERSONS))
def test_dashes_and_spaces_change_no_finding(text: str) -> None:
    twin = text.replace("-", "\u2011").replace(" ", "\u00a0 ")
    assert codes(lint_text(twin)) == codes(lint_text(text))


@given(st.sampled_from(CONCRETE), st.sampled_from(VAGUE))
def test_vague_words_beside_concrete_ones_do_no_harm(concrete: str, vague: str) -> None:
    assert "person" not in codes(lint_text(f"{concrete}. {vague}"))


@given(st.sampled_from(CONCRETE), st.sampled_from(PERSONS))
def test_concrete_words_beside_a_person_hide_nobody(concrete: str, person: str) -> None:
    assert "person" in codes(lint_text(f"{concrete}. {person}"))


@pytest.mark.parametrize("count", range(len(DIMENSIONS) + 1))
def test_fewer_than_four_dimensions_are_too_few(count: int) -> None:
    assert codes(lint_lines(lines_of(count), True)) == ["few_dimensions"] * (count < 4)


def test_a_page_that_refuses_nobody_is_flagged() -> None:
    assert codes(lint_lines(lines_of(4), False)) == ["no_anti_icp"]


@pytest.mark.parametrize(
    "name",
    [
        "age",
        "Age_Group",
        "gender",
        "birth_date",
        "dateOfBirth",
        "dob",
        "email",
        "work_email",
        "phone_number",
        "hobbies",
        "marital_status",
        "first_name",
        "lastname",
        "champion_name",
        "contactEmail",
        "ceo_age",
        "buyer_a",
    ],
)
def test_a_line_on_a_person_is_flagged_by_its_name_or_its_label(name: str) -> None:
    (finding,) = lint_lines(
        [*lines_of(4), ("firmographic", Predicate(name, is_true=True))],
        True,
        attributes=ATTRIBUTES,
        place="hypothesis in conf/icp.yaml",
    )
    assert finding.code == "person"
    assert f"`{name}`" in finding.message
    assert "conf/icp.yaml" in finding.message


@pytest.mark.parametrize(
    "name",
    [
        "company_age",
        "age_days",
        "email_provider",
        "phone_system",
        "name",
        "account_name",
        "champion_title",
        "pages",
        "agency",
        "customer_age",
        "industry",
        "has_sponsor",
        "gender_pay_report",
        "mobile_app",
        "full_time_employees",
    ],
)
def test_a_line_on_an_account_is_no_person(name: str) -> None:
    line = ("firmographic", Predicate(name, between=(1, None)))
    assert lint_lines([*lines_of(4), line], True) == []


APART = [
    [Predicate("employees", between=(None, 50)), Predicate("employees", between=(51, None))],
    [Predicate("employees", between=(5, 3))],
    [Predicate("hired_at", between=(0, 90)), Predicate("hired_at", between=(180, None))],
    [Predicate("sponsor", is_true=True), Predicate("sponsor", is_true=False)],
    [Predicate("industry", any_of=("a", "b")), Predicate("industry", any_of=("c",))],
    [Predicate("industry", any_of=tuple(pair)) for pair in ("ab", "bc", "ac")],
    [Predicate("tech", any_of=())],
]
TOGETHER = [
    [Predicate("employees", between=(None, 50)), Predicate("employees", between=(50, None))],
    [Predicate("employees", between=(1, 2)), Predicate("hired_at", between=(3, 4))],
    [Predicate("sponsor", is_true=True), Predicate("sponsor", is_true=True)],
    [Predicate("industry", any_of=("a", "b")), Predicate("industry", any_of=("b", "c"))],
    [Predicate("tech", any_of=("a",)), Predicate("tech", any_of=("b",))],
    [Predicate("undeclared", any_of=("a",)), Predicate("undeclared", any_of=("b",))],
]


@pytest.mark.parametrize("required", APART)
def test_non_negotiable_lines_that_no_account_fulfils_contradict(
    required: list[Predicate],
) -> None:
    (finding,) = lint_lines(lines_of(4), True, required=required, attributes=ATTRIBUTES)
    assert finding.code == "contradiction"
    assert all(f"`{predicate.code()}`" in finding.message for predicate in required)


@pytest.mark.parametrize("required", TOGETHER)
def test_non_negotiable_lines_that_go_together_pass(required: list[Predicate]) -> None:
    assert lint_lines(lines_of(4), True, required=required, attributes=ATTRIBUTES) == []


@pytest.mark.parametrize(
    ("must", "never", "contradicts"),
    [
        (Predicate("employees", between=(10, 50)), Predicate("employees", between=(0, 50)), True),
        (Predicate("employees", between=(10, 50)), Predicate("employees", between=(0, 49)), False),
        (Predicate("employees", between=(10, 50)), Predicate("sponsor", is_true=True), False),
        (Predicate("sponsor", is_true=True), Predicate("sponsor", is_true=True), True),
        (Predicate("sponsor", is_true=True), Predicate("sponsor", is_true=False), False),
        (Predicate("tech", any_of=("a",)), Predicate("tech", any_of=("a", "b")), True),
        (Predicate("tech", any_of=("a", "b")), Predicate("tech", any_of=("a",)), False),
        (Predicate("industry", any_of=("a", "b")), Predicate("industry", any_of=("a",)), False),
    ],
)
def test_a_non_negotiable_line_inside_the_anti_icp_contradicts(
    must: Predicate, never: Predicate, contradicts: bool
) -> None:
    found = lint_lines(lines_of(4), True, required=[must], anti=[never], attributes=ATTRIBUTES)
    assert codes(found) == ["contradiction"] * contradicts


@given(LINES, st.lists(PREDICATES, max_size=5), st.lists(PREDICATES, max_size=5), st.randoms())
def test_the_order_of_lines_changes_nothing(
    lines: list[tuple[str, Predicate]],
    required: list[Predicate],
    anti: list[Predicate],
    random: Random,
) -> None:
    def found() -> list[Finding]:
        return lint_lines(lines, False, required=required, anti=anti, attributes=ATTRIBUTES)

    before = found()
    for given_lines in (lines, required, anti):
        random.shuffle(given_lines)
    assert found() == before


@given(LINES, st.tuples(st.sampled_from(DIMENSIONS), PREDICATES))
def test_one_more_line_never_makes_dimensions_too_few(
    lines: list[tuple[str, Predicate]], line: tuple[str, Predicate]
) -> None:
    before = codes(lint_lines(lines, True)).count("few_dimensions")
    assert codes(lint_lines([*lines, line], True)).count("few_dimensions") <= before


@given(st.lists(PREDICATES, max_size=5), PREDICATES)
def test_one_more_non_negotiable_line_never_heals_a_contradiction(
    required: list[Predicate], more: Predicate
) -> None:
    def contradictions(musts: list[Predicate]) -> int:
        found = lint_lines(lines_of(4), True, required=musts, attributes=ATTRIBUTES)
        return codes(found).count("contradiction")

    assert contradictions([*required, more]) >= contradictions(required)


def test_a_sound_profile_has_no_findings() -> None:
    assert lint(profile()) == []


@pytest.mark.parametrize(
    ("market", "good", "expected"),
    [
        (WIDEST_MARKET, 0.5, []),
        (WIDEST_MARKET + 0.01, 0.5, ["too_vague"]),
        (NARROWEST_MARKET, NARROWEST_GOOD, []),
        (NARROWEST_MARKET - 0.001, 0.5, ["too_narrow"]),
        (0.2, NARROWEST_GOOD - 0.01, ["too_narrow"]),
        (0.0, 0.0, ["too_narrow", "too_narrow"]),
        (None, None, []),
        (math.nan, math.nan, []),
    ],
)
def test_what_a_profile_selects_is_neither_everybody_nor_hardly_anybody(
    market: float | None, good: float | None, expected: list[str]
) -> None:
    assert codes(lint(profile(), market_share=market, good_share=good)) == expected


@pytest.mark.parametrize("share", [-0.1, 1.1, 20.0, math.inf])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"good_share is .* from 0 to 1"):
        lint(profile(), good_share=share)


@pytest.mark.parametrize(
    ("as_of", "today", "stale"),
    [
        (date(2024, 3, 1), date(2025, 3, 1), False),
        (date(2024, 3, 1), date(2025, 3, 2), True),
        (date(2024, 2, 29), date(2025, 2, 28), False),
        (date(2024, 2, 29), date(2025, 3, 1), True),
        (date(2025, 3, 1), date(2025, 3, 1), False),
        (date(2020, 12, 31), date(2025, 1, 1), True),
    ],
)
def test_a_profile_older_than_a_year_is_stale(as_of: date, today: date, stale: bool) -> None:
    assert codes(lint(profile(), as_of=as_of, today=today)) == ["stale_icp"] * stale


def test_two_icps_on_one_motion_are_flagged_once() -> None:
    assert lint(profile(), motions=["smb", "enterprise"]) == []
    (finding,) = lint(profile(), motions=["smb", "enterprise", "SMB ", "smb"])
    assert finding.code == "shared_motion"
    assert "3 ICPs" in finding.message
    assert "`smb`" in finding.message


def test_a_negotiable_line_without_points_opens_no_dimension() -> None:
    idle = Line("pain_proof", Predicate("x", is_true=True), 0, EVIDENCE)
    must = Line("pain_proof", Predicate("x", is_true=True), 0, EVIDENCE, non_negotiable=True)
    three = profile().lines[:3]
    anti = profile().anti
    assert codes(lint(Profile((*three, idle), anti, 100))) == ["few_dimensions"]
    assert lint(Profile((*three, must), anti, 100)) == []


def test_lines_with_points_below_zero_say_whom_to_refuse() -> None:
    against = Line("pain_proof", Predicate("x", is_true=True), -2, EVIDENCE)
    assert codes(lint(profile(anti=()))) == ["no_anti_icp"]
    assert lint(profile(against, anti=())) == []


def test_only_non_negotiable_lines_of_a_profile_contradict() -> None:
    small = Predicate("employees", between=(None, 50))
    large = Predicate("employees", between=(51, None))
    both = [Line("firmographic", p, 2, EVIDENCE, non_negotiable=True) for p in (small, large)]
    assert codes(lint(profile(*both))) == ["contradiction"]
    assert lint(profile(both[0], Line("firmographic", large, 2, EVIDENCE))) == []
    assert codes(lint(profile(both[0], anti=[small]))) == ["contradiction"]


def test_an_empty_profile_is_flagged_and_does_not_break() -> None:
    found = lint(Profile((), (), 0), market_share=1.0)
    assert codes(found) == ["too_vague", "few_dimensions", "no_anti_icp"]
