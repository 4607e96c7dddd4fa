import io
import warnings
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from synthetic_results import make_result, without_numbers

from segue.errors import UsageError
from segue.report.plots import p_text, paired_cells, paired_plot, score_plot
from segue.report.prediction_plots import (
    _principal,
    confusion_plot,
    map_plot,
    scatter_plot,
    tag_plot,
    tag_scores,
)
from segue.report.sections import looks_of
from segue.report.style import MARKERS, PALETTE, drawable, marks, undrawable
from segue.report.tables import leaderboard

LONG = "a-third-party-encoder-with-a-very-long-name/checkpoint_000120000.safetensors"
NAMES = (("mfcc", ""), (LONG, "12"), ("エンコーダー", ""), ("warp-$5$", ""), ("_x", ""), ("😀", ""))


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph warns
        yield


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(figure.png)).convert("RGB"))


def every_picture(result):
    looks = looks_of([result])
    encoder = result.encoders[0]
    figures = [score_plot(result, looks), paired_plot(result)]
    if result.task == "classification":
        figures.append(confusion_plot(result, encoder))
    elif result.task == "tagging":
        figures.append(tag_plot(result, encoder, looks[encoder.label]))
    else:
        figures.append(scatter_plot(result, encoder, looks[encoder.label]))
    return figures


@pytest.mark.parametrize("task", ["classification", "tagging", "regression"])
def test_pictures_decode_and_have_words(task):
    for figure in every_picture(make_result(task, labels=("a", "b"))):
        assert pixels(figure).shape[:2] == figure.size[::-1]
        assert figure.alt.endswith(".")
        assert figure.caption.endswith(".")


def test_difficult_names_and_many_classes_are_drawn_inside_the_picture():
    labels = tuple(f"{'very ' * 9}long class {i} 日本" for i in range(21))
    result = make_result(encoders=NAMES, means=(0.6, 0.5, 0.4, 0.3, 0.2, 0.1), labels=labels)
    for figure in every_picture(result):
        edge = pixels(figure)
        frame = np.concatenate([edge[0], edge[-1], edge[:, 0], edge[:, -1]])
        assert (frame == 255).all(), "something is clipped by the picture's edge"


@pytest.mark.parametrize("folds", [1, 5])
def test_nothing_scored_still_draws(folds):
    for task in ("classification", "tagging", "regression"):
        result = without_numbers(make_result(task, folds=folds, n=30))
        figure = score_plot(result, looks_of([result]))
        assert "n/a" in figure.alt


def test_same_input_same_bytes_whatever_the_users_settings(classification):
    first = [figure.png for figure in every_picture(classification)]
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        assert [figure.png for figure in every_picture(classification)] == first
        assert mpl.rcParams["font.size"] == 30  # and the user's settings are left alone
    assert b"Software" not in first[0]


def test_the_score_plot_shows_the_scores():
    """More distance to the runner-up must move dots: the picture depends on the means."""
    looks = looks_of([make_result()])
    pictures = {
        score_plot(make_result(means=m), looks).png for m in ((0.6, 0.69, 0.5), (0.6, 0.8, 0.5))
    }
    assert len(pictures) == 2


def test_one_colour_per_encoder_through_all_targets(classification, regression):
    fewer = make_result(encoders=(("choi2017-msd", "12345"),), means=(0.5,))
    looks = looks_of([classification, regression, fewer])
    assert [looks[e.label].colour for e in classification.encoders[:3]] == list(PALETTE[:3])
    colour = tuple(int(looks["choi2017-msd@12345"].colour[i : i + 2], 16) for i in (1, 3, 5))
    assert (pixels(score_plot(fewer, looks)) == colour).all(axis=-1).any()


def test_marks_differ_beyond_the_palette():
    looks = marks(str(i) for i in range(len(PALETTE) * len(MARKERS)))
    assert len({(look.colour, look.marker) for look in looks.values()}) == len(looks)


def test_paired_cells_are_antisymmetric_and_only_of_the_main_metric_and_own_head(classification):
    other = replace(classification.tests[0], metric="macro_f1", difference=9.0)
    foreign = replace(classification.tests[0], head="knn", difference=9.0)
    result = replace(classification, tests=(other, foreign, *classification.tests))
    entries = leaderboard(result)[:3]
    cells = paired_cells(result, entries)
    assert cells[0, 1].difference == pytest.approx(0.09)  # choi2017-msd leads mfcc
    assert cells[1, 0].difference == pytest.approx(-0.09)
    assert len(cells) == 6
    assert paired_plot(replace(classification, tests=())) is None


def test_only_shown_differences_are_coloured():
    def coloured(p):
        image = pixels(paired_plot(make_result(p_holm=p))).astype(int)
        return (np.ptp(image, axis=-1) > 60).mean()

    assert coloured(0.01) > 0.3
    assert coloured(0.2) < 0.01


def test_p_values_as_papers_print_them():
    assert [p_text(p) for p in (0.00001, 0.0312, 0.99, 1.0)] == [
        "p < .001", "p = .031", "p = .990", "p = 1",
    ]  # fmt: skip


def test_confusion_counts_and_empty_classes(classification):
    encoder = classification.encoders[0]
    counts = np.array([[5, 0, 0, 0], [2, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 7]])
    figure = confusion_plot(classification, replace(encoder, confusion=counts))
    assert "15 of 17 clips on the diagonal" in figure.alt
    assert "jazz taken for blues, 2 clips" in figure.alt
    assert confusion_plot(classification, replace(encoder, confusion=None)) is None


def test_scatter_leaves_out_what_is_not_finite_and_says_so(regression):
    encoder = regression.encoders[0]
    predictions = encoder.predictions.copy()
    predictions[:3] = np.nan
    figure = scatter_plot(
        regression, replace(encoder, predictions=predictions), marks(["mfcc"])["mfcc"]
    )
    assert "3 clips without a finite value" in figure.caption
    nothing = replace(encoder, predictions=predictions * np.nan)
    assert scatter_plot(regression, nothing, marks(["mfcc"])["mfcc"]) is None


def test_tag_scores_are_means_over_folds_where_defined():
    result = make_result("tagging", labels=("a", "b", "never"), folds=2, n=8)
    truth = np.zeros((8, 3), dtype=int)
    truth[[0, 1], 0] = 1  # tag a: one positive in each fold (folds alternate)
    truth[0, 1] = 1  # tag b: defined in fold 0 only
    scores = np.zeros((8, 3))
    scores[0, 0], scores[1, 0] = 1, -1  # fold 0 perfect, fold 1 wholly wrong
    scores[0, 1] = 1
    result = replace(result, truth=truth)
    got = tag_scores(result, replace(result.encoders[0], predictions=scores))
    np.testing.assert_allclose(got, [0.5, 1.0, np.nan])


def test_tag_scores_agree_with_scikit_learn(tagging):
    encoder = tagging.encoders[0]
    rounded = np.round(encoder.predictions, 1)  # many ties
    got = tag_scores(tagging, replace(encoder, predictions=rounded))
    for j in (0, 10, 20):
        folds = [tagging.folds == fold for fold in range(10)]
        truth = tagging.truth[:, j]
        each = [roc_auc_score(truth[f], rounded[f, j]) for f in folds if truth[f].sum() > 0]
        assert got[j] == pytest.approx(np.mean(each), abs=1e-12)


def test_tag_plot_says_how_many_more(tagging):
    figure = tag_plot(tagging, tagging.encoders[0], marks(["mfcc"])["mfcc"])
    assert "The best 25 are drawn; 5 more" in figure.caption


@pytest.mark.parametrize("shape", [(60, 7), (7, 60), (40, 40)])
def test_the_map_is_the_principal_plane(shape):
    X = np.random.default_rng(0).standard_normal(shape)
    points, shares = _principal(X, len(X))
    pca = PCA(2).fit(X)
    np.testing.assert_allclose(np.abs(points), np.abs(pca.transform(X)), atol=1e-8)
    np.testing.assert_allclose(shares, pca.explained_variance_ratio_, atol=1e-10)


def test_maps_of_odd_shapes_and_labels():
    map_plot([[1.0]], ["_only"])
    map_plot(np.ones((3, 2)), ["a", "a", "日本"], query=0, neighbours=[1])
    figure = map_plot(
        np.random.default_rng(0).random((60, 5)), [f"class {i % 20}" for i in range(60)]
    )
    assert "20 labels" in figure.alt
    with pytest.raises(UsageError, match="for 2 labels"):
        map_plot([[1.0, 2.0]], ["a", "b"])
    with pytest.raises(UsageError, match="NaN"):
        map_plot([[np.nan, 2.0]], ["a"])


class TestNames:
    def test_plain_names_stay(self):
        assert drawable(["mfcc", "Néo-soul"]) == ["mfcc", "Néo-soul"]

    def test_long_names_are_wrapped_and_cut(self):
        (name,) = drawable([LONG * 3], width=20, lines=2)
        first, second = name.split("\n")
        assert len(first) <= 20
        assert len(second) <= 20
        assert name.endswith("…")

    def test_names_without_glyphs_are_numbered_and_explained(self):
        private = "\U00012000\U00012001"  # cuneiform is in no font we use
        assert drawable(["a", private]) == ["a", "□□ [2]"]
        assert undrawable(["a", private]) == f" Names in the picture: [2] = {private}."
        assert undrawable(["a"]) == ""

    def test_names_alike_after_cutting_are_told_apart(self):
        assert len(set(drawable(["x" * 200 + end for end in "ab"], lines=1))) == 2

    def test_control_characters_and_empty_names(self):
        assert drawable(["a\n\tb", ""]) == ["a b", "[2]"]
