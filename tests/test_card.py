"""Cards: what their digests cover, and that those of older stores stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from segue.card import LATER_FIELDS, EncoderCard, ExcerptSpec, FrontEndSpec
from segue.encoders import encoder, parse_layers

# as version 0.1.0 wrote them into stores and models, before front ends had the later fields
DIGESTS = {
    "mfcc": "a53cc2a534fd901e616a298bae711365825f01994ef0e5f5a74cec29a94c4569",
    "melstats": "a639fc7de7a2994e9f1f215d6656278881608d71e3ccc8f460fa42c458b3fad2",
    "random-convnet": "b6dab61f96679308908a265ae93f86e2f1a3bbb55e00dfef819f6e5cbaf767a6",
    "choi2017-msd": "09be194ed686407daa3a9b5dca516bf0676fa564eb2105b5ec7d35725032fafc",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_digests_of_older_stores_stand(name: str, request: pytest.FixtureRequest) -> None:
    if name == "choi2017-msd":
        pull_model: Callable[[str], Path] = request.getfixturevalue("pull_model")
        pull_model(name)
    assert encoder(name).card.digest == DIGESTS[name]


def card(**front_end: object) -> EncoderCard:
    spec = FrontEndSpec(rate=8000, n_fft=256, hop=128, n_mels=20, **front_end)  # type: ignore[arg-type]
    return EncoderCard(
        name="x", version=1, dim=20, front_end=spec, excerpt=ExcerptSpec(seconds=1.0)
    )


def test_later_fields_count_where_they_are_set() -> None:
    plain = card()
    assert not set(LATER_FIELDS) & plain.to_json()["front_end"].keys()
    for name, value in (("pad", "reflect"), ("gain", 10.0)):
        other = card(**{name: value})
        assert other.digest != plain.digest
        assert EncoderCard.from_json(other.to_json()) == other
        assert plain.differences(other) == [f"front_end.{name}: None -> {value}"]
    assert EncoderCard.from_json(plain.to_json()) == plain


def test_every_other_field_of_a_front_end_is_written() -> None:
    known = {field.name for field in fields(FrontEndSpec)}
    assert card().to_json()["front_end"].keys() == known - set(LATER_FIELDS)


def test_words_are_not_in_the_digest() -> None:
    assert replace(card(), description="other", citation="other").digest == card().digest


def test_a_card_that_does_not_say_how_files_were_decoded_is_of_the_first_way() -> None:
    older = encoder("mfcc").card
    assert "decoding" not in older.to_json()
    newer = replace(older, decoding=2)
    assert newer.digest != older.digest
    assert newer.differences(older) == ["decoding: 2 -> 1"]
    assert EncoderCard.from_json(newer.to_json()) == newer
    assert EncoderCard.from_json(older.to_json()) == older


def test_the_place_of_a_foreign_encoder_is_no_part_of_its_digest() -> None:
    card = replace(encoder("mfcc").card, name="onnx:/models/net.onnx")
    assert replace(card, name="onnx:/elsewhere/net.onnx").digest == card.digest
    assert replace(card, name="onnx:/models/other.onnx").digest != card.digest
    assert replace(card, name="hf:/models/net.onnx").digest != card.digest
    hub = replace(card, name="hf:one/model")
    assert replace(hub, name="hf:another/model").digest != hub.digest


def test_layers_beyond_nine_are_told_apart() -> None:
    codes = [replace(encoder("mfcc").card, layers=x).label for x in ((1, 2), (12,), (1, 12))]
    assert codes == ["mfcc@12", "mfcc@12,", "mfcc@1,12"]
    assert [parse_layers(code.partition("@")[2]) for code in codes] == [(1, 2), (12,), (1, 12)]
