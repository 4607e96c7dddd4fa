"""What the networks are taught: genres in shares, factors learned from the training part alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.datasets import Manifest
from segue.errors import ManifestError, UsageError
from segue.targets.factors import FactorSettings
from segue.workflows.dcnntargets import (
    Asked,
    Hearing,
    factor_target,
    genre_target,
    read_parts,
)

FEW = FactorSettings(topics=2, passes=5)


def labelled(*rows: tuple[str, str, str]) -> Manifest:
    """Tracks with artist and style; nothing is heard of them."""
    return Manifest.from_rows(
        [
            {"path": f"{number}.wav", "artist": artist, "style": style, "genre": genre}
            for number, (artist, style, genre) in enumerate(rows)
        ]
    )


MUSIC = labelled(
    ("ann", "swing;bop", "jazz"),
    ("ann", "bop", "jazz"),
    ("bob", "punk;garage", "rock"),
    ("bob", "garage", "rock;jazz"),
    ("cid", "bop;swing", "jazz"),
    ("dee", "punk", "folk"),
    ("", "punk", "rock"),
    ("eve", "", ""),
)


class TestWhatIsAskedFor:
    def test_columns_of_all_targets_must_be_named(self) -> None:
        with pytest.raises(UsageError, match=r"--genre COLUMN.*--group COLUMN.*--labels COLUMN"):
            Asked(targets=("g", "m", "s"))

    @pytest.mark.parametrize("targets", [(), ("x",), ("g", "g")])
    def test_targets_are_known_ones_each_once(self, targets: tuple[str, ...]) -> None:
        with pytest.raises(UsageError, match="targets among g"):
            Asked(targets=targets, genre="genre", group="artist", labels=("style",))

    def test_an_option_that_would_change_nothing_is_refused(self) -> None:
        with pytest.raises(UsageError, match="--labels without the target s"):
            Asked(targets=("m",), group="artist", labels=("style",))
        with pytest.raises(UsageError, match="--genre without the target g"):
            Asked(targets=("m",), group="artist", genre="genre")


class TestParts:
    def test_no_group_is_in_both_and_tracks_without_a_target_are_left_out(self) -> None:
        asked = Asked(targets=("s",), group="artist", labels=("style",))
        parts = read_parts(MUSIC, asked, share=0.3, seed=0)
        assert parts.rows.tolist() == [0, 1, 2, 3, 4, 5, 7]
        assert parts.left_out == 1
        artists = np.array(MUSIC.column("artist"))[parts.rows]
        assert not set(artists[parts.valid]) & set(artists[~parts.valid])
        assert 0 < parts.valid.sum() < len(parts.rows)

    def test_with_genres_a_track_without_an_artist_takes_part_alone(self) -> None:
        asked = Asked(targets=("g", "s"), genre="genre", group="artist", labels=("style",))
        assert 6 in read_parts(MUSIC, asked, share=0.3, seed=0).rows

    def test_an_empty_group_column_leaves_nothing(self) -> None:
        empty = labelled(("", "a", "x"), ("", "b", "y"))
        with pytest.raises(UsageError, match="two groups at least"):
            read_parts(empty, Asked(targets=("m",), group="artist"), share=0.5, seed=0)


class TestGenres:
    def test_several_labels_get_equal_shares_and_unheard_ones_no_target(self) -> None:
        target = genre_target(MUSIC, "genre", np.array([0, 1, 2, 3]))
        assert target.outputs == ("jazz", "rock")
        assert target.shares[3].tolist() == [0.5, 0.5]
        assert target.known.tolist() == [True] * 5 + [False, True, False]
        assert any("folk" in note for note in target.notes)

    def test_one_class_teaches_nothing(self) -> None:
        with pytest.raises(UsageError, match="two classes or more"):
            genre_target(MUSIC, "genre", np.array([0, 1]))

    def test_a_column_that_is_not_there(self) -> None:
        with pytest.raises(ManifestError, match="genre"):
            genre_target(MUSIC, "kind", np.array([0, 1]))


class TestFactors:
    asked = Asked(targets=("s",), group="artist", labels=("style",), factors=FEW)

    def of(self, manifest: Manifest, parts: tuple[list[int], list[int]], work: Path) -> np.ndarray:
        rows = (np.array(parts[0], np.int64), np.array(parts[1], np.int64))
        hearing = Hearing(frames=work / "frames")
        return factor_target(
            manifest, self.asked, "s", rows, hearing=hearing, work=work / "bags"
        ).shares

    def test_the_tracks_of_a_group_are_taught_the_same(self, tmp_path: Path) -> None:
        shares = self.of(MUSIC, ([0, 1, 2, 3], [4, 5]), tmp_path)
        assert shares[:6].sum(axis=1) == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_array_equal(shares[0], shares[1])
        np.testing.assert_array_equal(shares[2], shares[3])
        # who plays swing and bop is like ann, and not like bob
        near = [np.abs(shares[4] - shares[row]).sum() for row in (0, 2)]
        assert near[0] < near[1]

    def test_what_validates_does_not_change_what_is_learned(self, tmp_path: Path) -> None:
        one = self.of(MUSIC, ([0, 1, 2, 3], [4]), tmp_path / "a")
        other = self.of(MUSIC, ([0, 1, 2, 3], [5]), tmp_path / "b")
        np.testing.assert_array_equal(one[:4], other[:4])

    def test_groups_without_a_word_have_no_target(self, tmp_path: Path) -> None:
        shares = self.of(MUSIC, ([0, 1, 2, 3, 7], []), tmp_path)
        assert np.isnan(shares[7]).all()
        assert np.isnan(shares[6]).all()  # no artist
        assert np.isfinite(shares[:4]).all()

    def test_a_validation_part_without_groups_is_no_reason_to_stop(self, tmp_path: Path) -> None:
        shares = self.of(MUSIC, ([0, 1, 2, 3], [6]), tmp_path)
        assert np.isnan(shares[6]).all()
