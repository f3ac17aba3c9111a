"""Three thousand readers who do not exist, for the demo: the same ones each time. No models here.

Among them are people who opted out, addresses that are empty, malformed or shared: each cause of exclusion has some.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

NUMBER = 3000
_SEED = 20_260_321
_DOMAINS = ("example.com", "example.com", "example.org", "example.net")

# country, language, time zone; first names of women and of men; last names; cities. `written/typed` where no address
# can be made from the name itself; _ is a space.
_COUNTRIES = (
    (
        "FR",
        "fr",
        "Europe/Paris",
        "Chloé Élodie Léa Inès Aïcha Maëlle Noémie Fatou",
        "Jérôme Théo François Loïc Mathis Rémi Karim Zoltan",
        "Lefèvre Dupont Garnier Müller N'Diaye Béranger Lemaître Benali",
        "Paris;Lyon;Saint-Étienne;Nîmes",
    ),
    (
        "BE",
        "nl",
        "Europe/Brussels",
        "Lotte Manon Élise Noor",
        "Wout Arne Benoît Younes",
        "Peeters Janssens Dubois Maës",
        "Gent;Liège;Antwerpen",
    ),
    (
        "DE",
        "de",
        "Europe/Berlin",
        "Käthe Sophie Ayşe Grete Hannah",
        "Jürgen Björn Jörg Götz Emre Lukas Paul",
        "Schröder Weiß Öztürk Groß Köhler Schmidt",
        "Köln;München;Berlin;Düsseldorf",
    ),
    (
        "ES",
        "es",
        "Europe/Madrid",
        "Lucía Begoña Martina Ainhoa",
        "José Ángel Iñaki Martín",
        "Muñoz Ibáñez García Peña Núñez",
        "Madrid;Málaga;A Coruña",
    ),
    (
        "PL",
        "pl",
        "Europe/Warsaw",
        "Małgorzata Zofia Agnieszka Żaneta",
        "Łukasz Paweł Michał Grzegorz",
        "Wójcik Kowalczyk Dąbrowski Zieliński",
        "Łódź;Kraków;Gdańsk",
    ),
    (
        "SE",
        "sv",
        "Europe/Stockholm",
        "Åsa Linnéa Ebba Märta",
        "Göran Björn Oskar Håkan",
        "Åkesson Söderström Lindqvist Nyström",
        "Göteborg;Malmö;Stockholm",
    ),
    (
        "CZ",
        "cs",
        "Europe/Prague",
        "Tereza Eliška Anežka Zdeňka",
        "Jiří Tomáš Ondřej Matěj",
        "Dvořák Novák Černý Procházka",
        "Praha;Brno;Plzeň",
    ),
    (
        "GR",
        "el",
        "Europe/Athens",
        "Ελένη/eleni Σοφία/sofia Κατερίνα/katerina",
        "Γιώργος/giorgos Νίκος/nikos Δημήτρης/dimitris",
        "Παπαδόπουλος/papadopoulos Γεωργίου/georgiou Αλεξίου/alexiou",
        "Αθήνα;Πάτρα",
    ),
    (
        "JP",
        "ja",
        "Asia/Tokyo",
        "葵/aoi さくら/sakura 結衣/yui",
        "蓮/ren 大翔/hiroto 陽太/yota",
        "佐藤/sato 鈴木/suzuki 高橋/takahashi",
        "東京;大阪;札幌",
    ),
    (
        "US",
        "en",
        "America/New_York",
        "Maria Grace Nevaeh Renée",
        "James Mateo Jalen Zachary",
        "O'Connor Johnson Nguyen Martínez Smith-Jones",
        "Boston;New York;San José",
    ),
    (
        "BR",
        "pt",
        "America/Sao_Paulo",
        "Luíza Conceição Júlia",
        "João Antônio Caio",
        "Gonçalves Araújo Conceição",
        "São Paulo;Brasília",
    ),
    (
        "IE",
        "en",
        "Europe/Dublin",
        "Aoife Róisín Niamh",
        "Seán Pádraig Cillian",
        "Ó_Briain Ní_Mháille Murphy",
        "Dublin;Dún Laoghaire",
    ),
)
_LETTERS = str.maketrans({"ł": "l", "Ł": "L", "ß": "ss", "ø": "o", "æ": "ae", "đ": "d"})
_BAD_ADDRESSES = (
    "",
    "",
    "",
    "",
    "",
    "",
    "anna.at.example.com",
    "josé@example.com",
    "no address",
    "readers@",
    "@example.org",
    "two@@example.com",
    "dot..dot@example.net",
)


def rows() -> Iterator[dict[str, Any]]:
    """The readers as {field of Profile: value}, in a fixed order."""
    dice = random.Random(_SEED)  # noqa: S311 - nothing here is a secret
    written: list[str] = []
    for number in range(NUMBER):
        row = _reader(dice, number)
        if number % 230 == 29 and number // 230 < len(_BAD_ADDRESSES):
            row["email"] = _BAD_ADDRESSES[number // 230]
        elif number % 175 == 174:
            row["email"] = written[-40]
        row["opt_out"], row["opt_out_email"] = number % 300 == 123, number % 95 == 60
        if row["email"]:
            written.append(row["email"])
        yield row


def quarantined() -> list[str]:
    """Addresses of readers that are known to be bad, by the same order."""
    good = [row["email"] for row in rows() if row["email"].count("@") == 1]
    return good[50:2800:180]


def _reader(dice: random.Random, number: int) -> dict[str, Any]:
    country, language, zone, women, men, last_names, cities = dice.choice(_COUNTRIES)
    gender = dice.choice((1, 2))
    first, first_typed = _name(dice, women if gender == 2 else men)
    last, last_typed = _name(dice, last_names)
    return {
        "email": f"{first_typed}.{last_typed}{number}@{dice.choice(_DOMAINS)}",
        "first_name": first,
        "last_name": last,
        "gender": gender,
        "country": country,
        "language": language,
        "city": dice.choice(cities.split(";")) if dice.random() > 0.06 else "",
        "time_zone": zone if dice.random() > 0.2 else "",
        "birth_date": date(1940, 1, 1) + timedelta(days=dice.randrange(25_000)) if dice.random() > 0.15 else None,
        "attributes": {
            "loyalty": dice.choice(("gold", "silver", "silver", "none")),
            "points": str(dice.randrange(0, 2000, 10)),
        },
    }


def _name(dice: random.Random, names: str) -> tuple[str, str]:
    """(as it is written, as it stands in an address)."""
    name, _slash, typed = dice.choice(names.split(" ")).partition("/")
    plain = unicodedata.normalize("NFKD", (typed or name).translate(_LETTERS)).encode("ascii", "ignore").decode()
    return name.replace("_", " "), "".join(letter for letter in plain.lower() if letter.isalnum())
