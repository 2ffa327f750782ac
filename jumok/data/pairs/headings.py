"""Whether the first pair of a file is its headings: names of the sides or of two languages, and no sentences."""

from __future__ import annotations

import re

__all__ = ["are_headings"]

ROLES = {
    "source": "source src input 원문",
    "target": "target tgt trg output translation 번역 번역문",
}
TONGUES = {
    "en": "en eng english 영어",
    "ko": "ko kor korean 한국어 한글",
    "de": "de deu ger german deutsch 독일어",
    "fr": "fr fra fre french français 프랑스어",
    "es": "es spa spanish español 스페인어",
    "it": "it ita italian italiano 이탈리아어",
    "pt": "pt por portuguese português 포르투갈어",
    "nl": "nl nld dut dutch nederlands 네덜란드어",
    "ru": "ru rus russian русский 러시아어",
    "ja": "ja jpn japanese 日本語 일본어",
    "zh": "zh zho chi chinese 中文 중국어",
    "vi": "vi vie vietnamese 베트남어",
    "ar": "ar ara arabic 아랍어",
    "tr": "tr tur turkish türkçe 터키어",
    "pl": "pl pol polish polski 폴란드어",
    "cs": "cs ces cze czech čeština 체코어",
    "uk": "uk ukr ukrainian українська 우크라이나어",
    "hi": "hi hin hindi 힌디어",
}
MEANINGS = tuple({word: key for key, words in kind.items() for word in words.split()} for kind in (ROLES, TONGUES))
BESIDE = re.compile(r"[ _-](sentence|text|lang|language)$|[_-][a-z]{2}$")
"""What may stand behind a name: source_text, en-us."""


def are_headings(source: str, target: str) -> bool:
    """Whether two cells name the two sides, or two languages that differ.

    >>> are_headings("English", "Korean"), are_headings("src_text", "tgt_text")
    (True, True)
    >>> are_headings("Korean", "한국어"), are_headings("source", "Quelle"), are_headings("en", "in")
    (False, False, False)
    """
    one, other = (BESIDE.sub("", text.casefold().strip()) for text in (source, target))
    return any(one in known and other in known and known[one] != known[other] for known in MEANINGS)
