"""The search for canaries finds what is hidden in any writing, and nothing where nothing is."""

from __future__ import annotations

import random

import pytest

from tests.system.canaries import Search, hidden

WORD = "qzab7cdefghijk2lm"[:15]
NOISE = bytes(random.Random(3).randrange(256) for _ in range(20_000))


@pytest.mark.parametrize("writing", hidden(WORD))
def test_a_canary_is_found_in(writing: str) -> None:
    content = NOISE + b"\n" + hidden(WORD)[writing] + b"\n" + NOISE
    assert set(Search([WORD]).found(content)) == {WORD}


def test_the_digest_of_a_whole_text_counts() -> None:
    import hashlib

    address = f"cora.{WORD}@customer.test"
    content = b'{"key": "' + hashlib.sha256(address.encode()).hexdigest().encode() + b'"}'
    assert set(Search([WORD], [address]).found(content)) == {WORD}


def test_other_words_and_noise_are_no_hit() -> None:
    other = b" ".join(hidden("qzzzzzzzzzzzzzz").values())
    assert Search([WORD]).found(NOISE + other) == {}
