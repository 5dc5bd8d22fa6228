"""The words of a text, the same everywhere: normalised first, then split.

Normal is Unicode NFKC and case-folded, with every run of white space as one space and none at the ends. A word is a run
of letters, digits and underscores; each character of a script that is written without spaces between words (Han, kana,
Thai, Lao, Khmer, Burmese) is a word of its own. Everything else separates.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

#: Characters of a text that are looked at; what lies behind does not count as words.
MAX_CHARACTERS = 1_000_000

_ALONE = "぀-ヿㇰ-ㇿ㐀-䶿一-鿿豈-﫿\U00020000-\U000323af฀-๿຀-໿ក-៿က-႟"
_WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+")


def normalised(text: str) -> str:
    """Return the text in its one form."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def words_of(normal: str) -> list[str]:
    """Split a normalised text into its words."""
    return _WORD.findall(normal[:MAX_CHARACTERS])


def hash_of(normal: str) -> str:
    """Return the first 16 hex digits of the SHA-256 of a normalised text."""
    return hashlib.sha256(normal.encode("utf-8", errors="surrogatepass")).hexdigest()[:16]


@lru_cache(maxsize=200_000)
def id_of(word: str, size: int) -> int:
    """Return the token id of a word by the hashing trick: 1 to ``size`` - 1, since 0 is padding.

    The id is BLAKE2b (8 bytes, little-endian) of the UTF-8 of the word, modulo ``size`` - 1, plus 1. Source: Weinberger
    et al., "Feature Hashing for Large Scale Multitask Learning" (2009), without the sign, which an embedding has no use
    for.
    """
    digest = hashlib.blake2b(word.encode("utf-8", errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % (size - 1) + 1
