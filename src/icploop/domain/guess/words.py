"""The words by which exports call tables, columns and stages, in the languages of their makers.

Words are compared without case, accents and marks: `Größe (Mitarbeiter)` is `groesse mitarbeiter`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from icploop.settings import Dimension, TableName

# Letters that have no accent to lose.
_LETTERS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "æ": "ae", "å": "a", "ł": "l", "đ": "d"}
)


@lru_cache(maxsize=4096)
def plain_words(text: str) -> tuple[str, ...]:
    """`Deal - CloseDate (UTC)` is `deal close date utc`, as words."""
    # `IDs` is one word, `CloseDate` two.
    text = re.sub(r"\b[A-Z]{2,}s\b", lambda found: found[0].lower(), text)
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    lower = unicodedata.normalize("NFC", apart).lower().translate(_LETTERS)
    plain = unicodedata.normalize("NFKD", lower)
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return tuple(re.findall(r"\w+", plain.replace("_", " ")))


def phrase(text: str) -> str:
    """The plain words of a text, with single blanks between them."""
    return " ".join(plain_words(text))


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.replace("\n", " ").split(","))


def _set(text: str) -> frozenset[str]:
    return frozenset(_phrases(text))


# By table and column: what it is called, the likeliest first. English, German, French, Spanish,
# Italian, Portuguese, Dutch; HubSpot, Salesforce, Pipedrive, Stripe, ChartMogul.
COLUMNS: dict[TableName, dict[str, tuple[str, ...]]] = {
    "accounts": {
        "account_id": _phrases(
            """account id, company id, organization id, organisation id, customer id, client id,
            record id, id, hs object id, kundennummer, kundennr, kunden nr, kunden id, debitor,
            debitorennummer, debitor nr, firma id, customer no, customer number, account number,
            account no, client no, numero client, no client, id client, id cliente, codigo cliente,
            numero de cliente, codice cliente, klantnummer, klant id, external id, uuid, customer,
            account, key, nr, no"""
        ),
        "parent_id": _phrases(
            """parent id, parent account id, parent company id, parent account, parent company,
            parent, ultimate parent id, ultimate parent, muttergesellschaft, mutterkonzern, konzern,
            societe mere, matriz, empresa matriz, casa madre, moederbedrijf"""
        ),
        "name": _phrases(
            """name, company name, account name, organization name, organisation name, customer
            name, company, firma, firmenname, unternehmen, kunde, kundenname, organization,
            organisation, customer, client, client name, raison sociale, societe, entreprise,
            empresa, razon social, nombre, azienda, ragione sociale, nome, bedrijf, bedrijfsnaam,
            account"""
        ),
        "domain": _phrases(
            """domain, company domain name, company domain, website, web site, webseite, website
            url, url, homepage, domaene, internet, site web, site, pagina web, sitio web, sito web,
            sito"""
        ),
        "merged_into": _phrases(
            """merged into, merged into id, merged to, master record id, zusammengefuehrt mit,
            zusammengefuehrt in, aufgegangen in, fusionne avec, fusionado en, fuso in"""
        ),
        "merged_ids": _phrases(
            """merged company ids, merged object ids, hs merged object ids, merged record ids,
            merged ids, merged account ids"""
        ),
        "observed_at": _phrases(
            "observed at, snapshot date, snapshot at, valid from, as of, exported at, stichtag"
        ),
    },
    "deals": {
        "deal_id": _phrases(
            """deal id, opportunity id, opp id, record id, id, hs object id, opportunity number,
            deal no, deal number, quote id, angebotsnummer, angebot nr, auftragsnummer, chance id,
            verkaufschance id, vorgangsnummer, vorgang, id affaire, numero affaire, affaire id,
            id oportunidad, id opportunita, offertenummer, key, nr, no"""
        ),
        "account_id": _phrases(
            """account id, associated company ids, associated company id, company id, organization
            id, organisation id, customer id, client id, kundennummer, kundennr, kunden nr, debitor,
            debitorennummer, debitor nr, customer no, customer number, account number, numero
            client, id client, id cliente, codigo cliente, codice cliente, klantnummer, organization
            external id, associated company, associated company primary, account name, company name,
            company, organization, organisation, organization name, customer name, customer, kunde,
            kundenname, firma, client, cliente, empresa, azienda, klant, account"""
        ),
        "created_at": _phrases(
            """created at, created date, create date, date created, deal created, creation date, add
            time, created, created on, created utc, opened, open date, opened at, angelegt, angelegt
            am, erstellt, erstellt am, erstelldatum, anlagedatum, anlage, date de creation,
        creation,
            cree le, fecha de creacion, fecha creacion, creado, data creazione, data di creazione,
            data de criacao, aangemaakt, aangemaakt op"""
        ),
        "closed_at": _phrases(
            """closed at, close date, closed date, closed on, closing date, date closed, deal closed
            on, actual close date, closed, abgeschlossen am, abschlussdatum, abschluss, geschlossen
            am, geschlossen, date de cloture, cloture, fecha de cierre, fecha cierre, cierre, data
            chiusura, data di chiusura, data de fechamento, gesloten op, sluitingsdatum"""
        ),
        "won_at": _phrases("won time, won date, won on, won at, date won, gewonnen am, gagne le"),
        "lost_at": _phrases("lost time, lost date, lost on, lost at, date lost, verloren am"),
        "outcome": _phrases(
            """outcome, deal stage, stage name, stage, opportunity stage, sales stage, status, deal
            status, state, phase, verkaufsphase, result, ergebnis, etape, statut, etapa, estado,
            fase, stato"""
        ),
        "is_won": _phrases("is won, is closed won, won, gewonnen"),
        "is_closed": _phrases("is closed, is deal closed, closed, abgeschlossen"),
        "lost_reason": _phrases(
            """lost reason, closed lost reason, loss reason, reason lost, verlustgrund, absagegrund,
            motif de perte, motivo de perdida, motivo perdita, reden verlies"""
        ),
        "deal_name": _phrases(
            """deal name, opportunity name, title, name, deal, opportunity, bezeichnung, titel,
            vorgang, affaire, nom, nombre"""
        ),
        "acv": _phrases(
            """acv, annual contract value, arr, annual recurring revenue, annual value, jahreswert,
            annual amount, amount, deal amount, deal value, value, auftragswert, vertragswert, wert,
            betrag, volumen, umsatz, montant, importe, importo, valor, bedrag, waarde,
        total contract
            value, tcv, contract value"""
        ),
        "term_months": _phrases(
            """term months, contract term months, contract length months, contract duration months,
            laufzeit monate, laufzeit in monaten, duree mois, duracion meses, term in months"""
        ),
        "term_years": _phrases("term years, contract term years, laufzeit jahre, term in years"),
        "gross_margin": _phrases("gross margin, bruttomarge, deckungsbeitrag prozent"),
        "acquisition_cost": _phrases("acquisition cost, cac, cost of sale, vertriebskosten"),
        "currency": _phrases(
            """currency, currency code, deal currency, currency iso code, waehrung, devise, moneda,
            divisa, valuta, moeda"""
        ),
        "motion": _phrases(
            "motion, go to market motion, pipeline, deal type, opportunity type, record type"
        ),
    },
    "revenue": {
        "account_id": _phrases(
            """account id, customer id, company id, client id, customer external id, customer uuid,
            organization id, kundennummer, kundennr, kunden nr, debitor, debitorennummer, debitor
            nr, customer no, customer number, account number, account no, numero client, id client,
            id cliente, codigo cliente, codice cliente, klantnummer, customer, stripe customer id,
            account, kunde, client, cliente, company, organization, customer name, account name,
            company name, kundenname, firma"""
        ),
        "month": _phrases(
            """month, service period start, period start, period start utc, subscription period
            start, line period start, leistung von, leistungsbeginn, leistungszeitraum von, zeitraum
            von, period from, periode debut, debut de periode, inicio periodo, current period start,
            current period start utc, start date, period, monat, periode, mois, mes, mese, maand,
            invoice date, invoiced at, billing date, issue date, issued at, posting date, date,
            datum, rechnungsdatum, belegdatum, buchungsdatum, date de facture, date facture, fecha,
            fecha factura, fecha de factura, data, data fattura, data fatura, factuurdatum, von,
            from, start, date utc, created utc, created"""
        ),
        "until": _phrases(
            """service period end, period end, period end utc, subscription period end, line period
            end, leistung bis, leistungsende, leistungszeitraum bis, zeitraum bis, period to, period
            until, fin de periode, periode fin, fin periodo, current period end, current period end
            utc, end date, covers until, until, bis, to, end"""
        ),
        "months": _phrases(
            """months, term months, billing months, interval months, months covered, monate,
            laufzeit monate, nombre de mois, meses"""
        ),
        "interval": _phrases(
            """billing interval, billing period, billing cycle, billing frequency, interval, plan
            interval, frequency, invoice frequency, abrechnungszeitraum, abrechnung,
            abrechnungsintervall, turnus, zahlweise, intervall, periodicite, frequence,
            periodicidad, frecuencia, periodicita, facturatiefrequentie"""
        ),
        "mrr": _phrases(
            """mrr, monthly recurring revenue, monthly revenue, arr, annual recurring revenue, net
            amount, amount net, netto, nettobetrag, betrag netto, net, amount excl tax, amount
            excluding tax, subtotal, montant ht, ht, importe neto, importo netto, imponibile,
        revenue,
            amount, amount in cents, line amount, betrag, umsatz, rechnungsbetrag, montant, importe,
            importo, valor, bedrag, total, total amount, amount due, amount paid, fee, price"""
        ),
        "currency": _phrases(
            "currency, currency code, invoice currency, waehrung, devise, moneda, divisa, valuta"
        ),
        "name": _phrases(
            """customer name, account name, company name, company, organization, kunde, kundenname,
            firma, firmenname, raison sociale, empresa, azienda, klantnaam, client, cliente, name,
            customer description"""
        ),
        "domain": _phrases("domain, customer domain, website, webseite, company domain"),
        "email": _phrases("customer email, email, e mail, billing email, rechnungs e mail"),
        "status": _phrases("status, invoice status, rechnungsstatus, statut, estado, stato, state"),
        "line_type": _phrases(
            """type, line type, charge type, item type, product type, revenue type, kind, art,
            position, positionsart, belegart, tipo, description, line item, item, product"""
        ),
    },
    "signals": {
        "account_id": _phrases(
            """account id, company id, customer id, organization id, kundennummer, kundennr,
            debitor,
            customer no, customer, account, company"""
        ),
        "at": _phrases(
            "at, occurred at, created at, timestamp, date, event date, datum, day, time"
        ),
        "kind": _phrases("kind, event, event type, type, signal, ereignis, art, metric"),
        "value": _phrases("value, count, amount, score, wert, anzahl, quantity"),
    },
}

# By table: words of files' names.
FILES: dict[TableName, frozenset[str]] = {
    "accounts": _set(
        """account, accounts, company, companies, customer, customers, client, clients,
        organization, organizations, organisation, organisations, kunde, kunden, firma, firmen,
        kundenstamm, debitoren, unternehmen, entreprises, societes, empresas, clientes, clienti,
        aziende, klanten, bedrijven, crm"""
    ),
    "deals": _set(
        """deal, deals, opportunity, opportunities, opps, opp, pipeline, verkaufschancen, chancen,
        angebote, vertrieb, auftraege, affaires, opportunites, oportunidades, negocios, trattative,
        opportunita, verkoopkansen, sales"""
    ),
    "revenue": _set(
        """revenue, mrr, arr, invoice, invoices, billing, bills, subscription, subscriptions,
        payments, charges, rechnung, rechnungen, umsatz, umsaetze, fakturen, buchungen, factures,
        facturacion, facturas, fatture, facturen, abonnements, abos"""
    ),
    "signals": _set("signal, signals, event, events, usage, ticket, tickets, support"),
}

_WON = _set(
    """won, win, closed won, closedwon, close won, deal won, won deal, signed, contract signed,
    customer, closed customer, gewonnen, auftrag erteilt, beauftragt, auftrag, abschluss,
    abgeschlossen gewonnen, unterschrieben, vertrag unterschrieben, gagne, gagnee, conclu, signe,
    affaire gagnee, ganado, ganada, cerrado ganado, cerrada ganada, vinto, vinta, chiuso vinto,
    ganho, ganha, fechado ganho, gewonnen deal, getekend, vundet, vunnen, voitettu, wygrana,
        wygrane,
    vyhrano"""
)
_LOST = _set(
    """lost, closed lost, closedlost, close lost, deal lost, lost deal, dead, disqualified,
    unqualified, not qualified, rejected, declined, cancelled, canceled, abandoned, no decision,
    closed no decision, no budget, not interested, no interest, no response, ghosted, verloren,
        abgesagt, absage, abgelehnt, kein interesse,
    disqualifiziert, storniert, perdu, perdue, affaire perdue, abandonne, refuse, perdido, perdida,
    cerrado perdido, cerrada perdida, descartado, perso, persa, chiuso perso, fechado perdido,
    verloren deal, afgewezen, tabt, forlorad, havitty, przegrana, przegrane, prohrano"""
)
_OPEN = _set(
    """open, new, prospecting, prospect, prospects, qualification, qualified, qualified to buy,
    discovery, needs analysis, value proposition, id decision makers, perception analysis, proposal,
    proposal price quote, proposal sent, proposal made, proposal quote, quote, quote sent,
    negotiation, negotiation review, negotiations started, in negotiation, contract sent,
    presentation scheduled, appointment scheduled, decision maker bought in, meeting scheduled,
        demo,
    demo scheduled, evaluation, trial, pilot, poc, verbal, verbal commit, commit, lead, lead in,
    contact made, contacted, in progress, pending, on hold, stalled, legal, procurement, review,
    offen, neu, in bearbeitung, laufend, qualifizierung, qualifiziert, angebot, angebot versendet,
    angebot gesendet, angebot erstellt, verhandlung, in verhandlung, erstgespraech, erstkontakt,
    termin vereinbart, praesentation, bedarfsanalyse, ouvert, ouverte, en cours, nouveau, nouvelle,
    proposition, proposition envoyee, devis envoye, negociation, qualifie, decouverte, abierto,
    abierta, en curso, nuevo, propuesta, propuesta enviada, negociacion, calificacion, aperto,
        aperta,
    in corso, nuovo, proposta, offerta, trattativa, qualificazione, aberto, em andamento,
        negociacao,
    lopend, nieuw, offerte, offerte verstuurd, onderhandeling"""
)
# Beside an open stage they make it a lost one: `not qualified`.
NOT = _set("not, no, non, nicht, kein, keine, pas, sin, sem, niet, geen, never, un")
STAGES: dict[str, frozenset[str]] = {"won": _WON, "lost": _LOST, "open": _OPEN}

# Words of attributes' names by dimension; what has none of them is firmographic.
DIMENSIONS: dict[Dimension, frozenset[str]] = {
    "technographic": _set(
        """tech, technology, technologies, technologie, stack, tools, tool, software, crm, erp,
        cloud, database, platform, platforms, integration, integrations, hosting, cms,
        infrastructure,
        system, systems, systeme, tecnologia, tecnologie, web technologies"""
    ),
    "use_case": _set(
        """use, usecase, case, anwendungsfall, einsatz, einsatzzweck, product, products, produkt,
        produkte, module, modul, modules, interest, interesse, plan, need, needs, goal, goals,
        bedarf, besoin, uso, solution, workflow, department use"""
    ),
    "trigger_event": _set(
        """trigger, event, funding, funded, raised, round, hiring, hired, growth, expansion,
        migration, relocation, merger, acquisition, new ceo, anlass, ausloeser, finanzierung,
        levee, rfp, tender, renewal of competitor, source, lead source, quelle, herkunft, origin"""
    ),
    "decision_authority": _set(
        """champion, sponsor, buyer, decision, maker, authority, budget, procurement, committee,
        entscheider, budgetverantwortung, decideur, seniority, stakeholder, stakeholders,
        executive"""
    ),
    "pain_proof": _set(
        """pain, pains, problem, problems, challenge, challenges, schmerz, herausforderung,
        probleme, compliance, audit, incident, manual, downtime, proof, reference, referenz,
        certified, certification, iso, gdpr, douleur, dolor"""
    ),
}

# What the usual attributes are called here, wherever they come from.
USUAL: dict[str, frozenset[str]] = {
    "employees": _set(
        """employees, number of employees, numberofemployees, employee count, headcount,
        mitarbeiter, mitarbeiterzahl, anzahl mitarbeiter, nombre d employes, effectif, effectifs,
        empleados, numero de empleados, dipendenti, numero dipendenti, medewerkers, aantal
        medewerkers, no of employees, company size"""
    ),
    "industry": _set(
        """industry, branche, sector, secteur, secteur d activite, industria, settore, sektor,
        industry sector, wirtschaftszweig"""
    ),
    "country": _set("country, country region, land, pays, pais, paese, billing country"),
    "annual_revenue": _set(
        "annual revenue, jahresumsatz, chiffre d affaires, facturacion anual, fatturato"
    ),
}

# Names of what is known of customers only, from the sale on.
AFTER_THE_SALE = _phrases(
    """churn, churned, churn date, churn risk, churn reason, cancel date, cancellation date,
    cancelled at, canceled at, cancelled on, kuendigung, kuendigungsdatum, gekuendigt am,
        resiliation,
    baja, disdetta, nps, csat, health score, health, customer health, gesundheit, renewal date,
    next renewal, renewal, verlaengerung, onboarding, onboarded, onboarding date, go live, go live
    date, golive, implementation date, customer since, kunde seit, client depuis, cliente desde,
    first invoice, first invoice date, last invoice, last invoice date, first purchase date, last
    purchase date, lifetime value, ltv, clv, customer lifetime value, total revenue, total billed,
    mrr, arr, current mrr, current arr, contract value, contract end, contract end date, contract
    start, contract start date, vertragsende, vertragsbeginn, license count, licenses, seats, active
    users, licensed users, usage score, last login, support tickets, open tickets, tickets, csm,
    customer success manager, success manager, upsell potential, payment terms, zahlungsmoral,
        dunning
    level, mahnstufe, subscription status, customer status, kundenstatus, lifecycle stage, lifecycle
    stage date, became a customer date, is customer, customer, type of customer, kundenart,
    recent deal amount, recent deal close date, first deal created date, total open deals, number of
    associated deals, num associated deals, days to close, closed won, won, won deals, lost deals,
    last order, last order date, letzter auftrag, letzte rechnung, erste rechnung, nutzer aktiv"""
)

# Names of what a system notes about its own records, or of who works on them.
OF_THE_SYSTEM = _phrases(
    """created at, create date, created date, created, created by, created on, angelegt am, erstellt
    am, last modified, last modified date, last modified by, modified, updated, updated at, update
    time, changed at, geaendert am, owner, account owner, company owner, record owner, owner id,
        sales
    rep, rep, account manager, account executive, sdr, bdr, hubspot owner, verantwortlich, betreuer,
    vertriebler, kundenbetreuer, zustaendig, proprietaire, propietario, last activity, last activity
    date, last contacted, next activity date, number of times contacted, last touch, record type id,
    system modstamp, is deleted, deleted, import id, sync id, last sync, last viewed, photo url,
    letzte aktivitaet, letzter kontakt, hubspot team, team"""
)

# Words for the months that a bill covers.
INTERVALS: dict[int, frozenset[str]] = {
    1: _set(
        """month, monthly, 1 month, every month, per month, m, monat, monatlich, mensuel, mensuelle,
        mensual, mensile, mensal, maandelijks"""
    ),
    3: _set(
        """quarter, quarterly, 3 months, every 3 months, vierteljaehrlich, quartalsweise, quartal,
        trimestriel, trimestrielle, trimestral, trimestrale, per kwartaal"""
    ),
    6: _set(
        """half year, half yearly, semi annual, semiannual, biannual, 6 months, every 6 months,
        halbjaehrlich, halbjahr, semestriel, semestral, semestrale, halfjaarlijks"""
    ),
    12: _set(
        """year, yearly, annual, annually, 12 months, every 12 months, per year, 1 year, y, a, jahr,
        jaehrlich, annuel, annuelle, anual, annuale, jaarlijks"""
    ),
    24: _set("2 years, every 2 years, biennial, 24 months, zweijaehrlich, zweijaehrig"),
    36: _set("3 years, every 3 years, triennial, 36 months, dreijaehrig"),
}
# Bills that nobody owes, and lines that do not recur.
NOT_BILLED = _set(
    """void, voided, draft, uncollectible, deleted, cancelled, canceled, storniert, storno, entwurf,
    annule, annulee, brouillon, anulado, anulada, borrador, annullata, bozza, geannuleerd,
    concept"""
)
ONE_TIME = _set(
    """one time, one off, onetime, oneoff, setup, set up, setup fee, set up fee, implementation,
    implementation fee, onboarding, onboarding fee, service, services, professional services,
    consulting, training, einmalig, einrichtung, einrichtungsgebuehr, schulung, beratung,
        dienstleistung,
    mise en service, formation, ponctuel, unico, formacion, instalacion, formazione, eenmalig"""
)

YES = _set("true, t, yes, y, 1, ja, j, oui, o, si, s, sim, wahr, x, checked")
NO = _set("false, f, no, n, 0, nein, non, nao, nee, falsch, unchecked")


@lru_cache(maxsize=8192)
def name_score(name: str, known: tuple[str, ...]) -> float:
    """How well a name fits those that are known, the likeliest first: 1 is best, 0 not at all."""
    given = phrase(name)
    best = 0.0
    for rank, one in enumerate(known):
        if given == one:
            best = max(best, 1.0 - rank / (4 * len(known)))
        elif f" {one} " in f" {given} ":
            more = len(given.split()) - len(one.split())
            best = max(best, 0.7 - rank / (4 * len(known)) - more / 10)
    return best
