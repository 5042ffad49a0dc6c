"""The text of painted pictures: words of several languages, numbers, codes and strings of random letters.

Random strings keep a network from learning words instead of letters.
"""

from __future__ import annotations

import random
import string
from functools import cache

LANGUAGES = {
    "english": """the of and to in is that it was for on are with as his they at be this from have or by one had not but
        what all were when we there can an your which their said if do will each about how up out them then she many some
        so these would other into has more her two like him see time could no make than first been its who now people my
        made over did down only way find use may water long little very after words called just where most know through
        garden bridge engine quickly orange jungle pixel frozen zebra vowel switch quartz height weight through knight
        Monday January Street Avenue Hotel Open Closed Exit Sale Warning Private Museum Station Library Market Office""",
    "german": """über für schön größer Straße Mädchen Fähre zwölf Übung Öffnung Ärger müssen heißt Schlüssel Gemüse
        Bahnhof Ausgang Zeitung Frühstück Apotheke nicht auch wieder während Jahrhundert Geschwindigkeit Maße""",
    "french": """où été français garçon élève cœur âge naïf forêt hôtel août île déjà voilà être même très après
        Sortie Entrée boulangerie pâtisserie mairie quelque aujourd'hui beaucoup""",
    "spanish": """niño señor mañana corazón también está qué cómo año pingüino lápiz jardín calle salida música árbol
        ¿dónde? ¡gracias! cerveza ciudad pequeño""",
    "polish": """żółw źródło święto łódź ćwiczenie są dzień książka wyjście ulica gęś łąka próżny także można jeszcze""",
    "czech": """příliš žluťoučký kůň úpěl ďábelské ódy město řeka šťastný dveře můžeme čtvrtek""",
    "turkish": """günaydın çiçek şeker ığdır İstanbul ağaç öğrenci köprü çıkış değil büyük yıldız""",  # noqa: RUF001 (this letter is meant)
    "nordic": """blåbær smørrebrød kött ålesund øre båt hjärta gård sjö æble første språk þorn því""",
    "vietnamese": """tiếng Việt đường phố người nước cảm ơn được những không thể""",
    "greek": """καλημέρα κόσμε δρόμος θάλασσα ψωμί φως ξένος έξοδος ημέρα γράμμα βιβλίο ζωή χαρά Ελλάδα""",
    "russian": """привет улица выход книга щука ёжик объект вход музей быстро хорошо жизнь цена рубль Москва Яндекс эхо
        который можно только человек""",
    "ukrainian": """їжак ґанок вулиця дякую щастя єдність місто сьогодні""",
    "japanese": """東京 出口 日本語 ありがとう カメラ 新聞 電車 こんにちは 大学 テレビ""",
    "chinese": """中文 出口 图书馆 你好 城市 人民 银行 餐厅 世界 时间""",
    "korean": """한국어 출구 안녕 서울 도서관 사람 시간""",
}
WORDS = {language: tuple(text.split()) for language, text in LANGUAGES.items()}
PUNCTUATION = ".,;:!?-/()[]{}<>+=*%&@#$€£\"'_|\\~^"
_ALL = "".join(LANGUAGES.values())
ALPHABET = frozenset(_ALL + _ALL.upper() + string.ascii_letters + string.digits + PUNCTUATION) - set(string.whitespace)
_CODE = """self index value count result buffer config width height row column items node parent update render load
    save open close read write name path data size offset length start stop step batch key token total error state"""
CODE_WORDS = tuple(_CODE.split())


@cache
def languages(characters: frozenset[str]) -> tuple[str, ...]:
    """The languages whose letters are all among `characters`; English four times, since it is the most common."""
    return ("english",) * 4 + tuple(name for name, words in WORDS.items() if characters.issuperset("".join(words)))


@cache
def _letters(characters: frozenset[str]) -> str:
    """The letters of random strings: ASCII, and equally often others."""
    return "".join(sorted(c for c in characters if c.isalpha()))


def number(rng: random.Random, characters: frozenset[str]) -> str:
    """A number formatted as a price, date, time, measure or telephone number, from ASCII and `characters`."""
    kind, value = rng.randrange(9), rng.randrange(10 ** rng.randint(1, 5))
    return (
        str(value),
        f"{value:,}",
        f"{value / 100:.2f}",
        f"{rng.choice([sign for sign in '$€£' if sign in characters] or [''])}{value / 100:.2f}",
        f"{value % 101}%",
        f"{rng.randint(0, 23)}:{rng.randint(0, 59):02d}",
        f"{rng.randint(1, 31)}.{rng.randint(1, 12)}.{rng.randint(1900, 2040)}",
        f"{value / 10:.1f} {rng.choice(('mm', 'kg', 'km', 'px', 'V', 'dB', 'GB', 'Hz'))}",
        f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1000, 99999)}",
    )[kind]


def code(rng: random.Random, characters: frozenset[str]) -> str:
    """A string of random letters, digits and punctuation, 1 to 9 long."""
    letters = rng.choice((string.ascii_letters, string.ascii_uppercase, string.ascii_lowercase, _letters(characters)))
    pool = letters * 2 + string.digits * rng.randint(0, 4) + PUNCTUATION * rng.randint(0, 1)
    return "".join(c for c in rng.choices(pool, k=rng.randint(1, 9)) if c in characters) or "x"


def phrase(rng: random.Random, characters: frozenset[str], length: int) -> str:
    """About `length` characters of text, only spaces and `characters`."""
    words = WORDS[rng.choice(languages(characters))]
    style = rng.choice((str, str, str, str.upper, str.title, str.capitalize))
    codes = rng.choice((0.05, 0.3, 0.9))  # share of random strings
    text, room = [], length
    while room > 0:
        draw = rng.random()
        if draw < codes:
            word = code(rng, characters)
        elif draw < codes + 0.08:
            word = number(rng, characters)
        else:
            word = style(rng.choice(words))
        text.append(word + rng.choice(("", "", "", "", "", ",", ".", ":")))
        room -= len(word) + 1
    return "".join(c for c in " ".join(text) if c in characters or c == " ")
