import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from PIL import Image
from synthetic_results import make_result, without_numbers

from segue.errors import SegueError, UsageError
from segue.report import (
    Audio,
    Cell,
    Figure,
    Folded,
    Neighbour,
    Precision,
    Section,
    Table,
    evaluation_sections,
    map_plot,
    provenance_section,
    quarantine_section,
    similarity_section,
    write_page,
    write_report,
)

VOID = {"meta", "img", "br", "hr", "link", "input", "source"}
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Reader(HTMLParser):
    """Checks that tags balance and keeps what tests ask for."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text, self.ids = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"repeated attribute in <{tag}>"
        self.tags.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "deep" / "down"
    write_report(
        folder,
        results,
        title="Genre & mood",
        extra_sections=[
            similarity_section(
                Neighbour(id="q.mp3", distance=0, label="jazz", audio=Audio(b"OggS", "q")),
                [Neighbour(id="n.mp3", distance=1.5, label="jazz"),
                 Neighbour(id="o.mp3", distance=2.5, label="rock")],
                metric="l1",
                precision=Precision(k=10, mean=0.46, defined=98, undefined=2, chance=0.2),
                figure=map_plot([[0.0, 1.0], [1.0, 0.0]], ["jazz", "rock"], name="../Map"),
            ),
            quarantine_section([{"path": "bad.mp3", "reason": "0 bytes"}]),
        ],
        provenance={
            "command": "segue evaluate",
            "citation": "See https://example.org/paper",
            "Encoders": [{"name": "mfcc", "dims": 240}],
        },
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Reader((folder / "report.html").read_text(encoding="utf-8"))


def test_the_folder_holds_what_is_promised(folder):
    assert {path.name for path in folder.iterdir()} == {
        "report.html", "results.csv", "results.md", "plots",
    }  # fmt: skip
    pictures = sorted(path.name for path in (folder / "plots").iterdir())
    assert "01-genre-scores.png" in pictures
    assert "02-mood-differences.png" in pictures
    assert "map.png" in pictures
    assert "01-genre-ranks.png" in pictures
    # of three targets scores, differences and ranks, and three encoders; all ranks; the map
    assert len(pictures) == 3 * 3 + 3 * 3 + 1 + 1


def test_nothing_is_asked_of_the_net_and_nothing_runs(page):
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "base"}
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            if name in attributes:
                assert re.match(r"#|data:(image/png|audio/ogg);base64,", attributes[name])
    policy = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy[0].startswith("default-src 'none'")
    assert "https://example.org/paper" in page.words  # a citation stays text


def test_the_style_asks_for_nothing_either(folder):
    style = re.search(r"<style>(.*?)</style>", (folder / "report.html").read_text(), re.S)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_every_picture_decodes_and_has_alternative_text(page, folder):
    images = page.all("img")
    assert len(images) == len(list((folder / "plots").iterdir()))
    for attributes in images:
        assert len(attributes["alt"]) > 30
        data = base64.b64decode(attributes["src"].partition(",")[2], validate=True)
        Image.open(io.BytesIO(data)).load()


def test_headings_and_anchors(page):
    assert len(page.all("h1")) == 1
    links = [a["href"][1:] for a in page.all("a")]
    assert set(links) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_the_page_says_what_the_numbers_say(page):
    for words in (
        "choi2017-msd@12345 scores best: accuracy 0.690",
        "Of the 10 nearest clips, 46.0 % carry the query's label on average over 98 queries; "
        "random neighbours would give 20.0 %. For 2 more it is undefined",
        "C = 1 6 of 10",
        "0.710 0.690 0.020",  # best inner, outer, their difference
        "1 file could not be used",
        "0.690 ± 0.015 [0.660, 0.720]",
    ):
        assert words in page.words.replace("\N{NO-BREAK SPACE}", " ")


def test_another_winner_changes_the_page(tmp_path):
    path = write_report(tmp_path, [make_result(means=(0.8, 0.69, 0.55))], title="t")
    words = Reader(path.read_text()).words.replace("\N{NO-BREAK SPACE}", " ")
    assert "mfcc scores best: accuracy 0.800" in words
    assert "choi2017-msd@12345 scores best" not in words


def test_same_input_same_bytes(results, tmp_path):
    for name in ("one", "two"):
        write_report(tmp_path / name, results, title="t", provenance={"seed": 0})
    for path in (tmp_path / "one").rglob("*.*"):
        assert (
            path.read_bytes()
            == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
        )


def test_markup_in_every_name_is_only_text(tmp_path):
    result = make_result(
        target=EVIL, labels=(EVIL, "b"), encoders=((EVIL, EVIL), ("x", "")), means=(0.6, 0.5),
        notes=(EVIL,), head=EVIL,
    )  # fmt: skip
    blocks = [EVIL, Table([EVIL], [[EVIL], [Cell(EVIL, EVIL, audio=Audio(b"x", EVIL))]], EVIL)]
    extra = Section(EVIL, [*blocks, Folded(EVIL, blocks)], [Section(EVIL, blocks)])
    path = write_report(
        tmp_path, [replace(result, group=EVIL)], title=EVIL, extra_sections=[extra],
        provenance={EVIL: EVIL, "cards": [{EVIL: EVIL}]},
    )  # fmt: skip
    page = Reader(path.read_text())
    assert page.all("script") == []
    assert all(a["src"].startswith("data:") for a in page.all("img"))
    assert page.words.count("<script>alert(1)</script>") > 20
    assert "<script>" not in (tmp_path / "results.md").read_text().replace("\\<script\\>", "")


@pytest.mark.parametrize("task", ["classification", "tagging", "regression"])
def test_results_without_a_number_make_a_page(task, tmp_path):
    path = write_report(tmp_path, [without_numbers(make_result(task, n=30))], title="t")
    words = Reader(path.read_text()).words
    assert "No encoder could be scored on genre." in words
    assert "nan" not in words.lower().split()


def test_no_result_no_encoder_one_encoder(tmp_path, classification):
    bare = replace(classification, rows=(), encoders=(), tests=())
    one = make_result(encoders=(("mfcc", ""),), means=(0.6,))
    for i, results in enumerate([[], [bare], [one, one]]):
        page = Reader(write_report(tmp_path / str(i), results, title="t").read_text())
        assert len(page.ids) == len(set(page.ids))  # two targets of one name stay apart
    assert len(list((tmp_path / "2" / "plots").glob("*-scores.png"))) == 2


def test_paths_that_are_no_unicode_are_written(tmp_path):
    section = quarantine_section([{"path": "caf\udce9.mp3", "reason": "x"}])
    assert (
        b"caf\\udce9.mp3"
        in write_page(tmp_path / "p.html", title="t", summary={}, sections=[section]).read_bytes()
    )


def test_a_place_that_cannot_be_written_is_a_clear_error(results, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SegueError, match="make the folder writable"):
        write_report(tmp_path / "file" / "r", [], title="t")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_sections_can_be_composed_by_the_caller(results, tmp_path):
    sections = evaluation_sections(results)
    assert [s.title for s in sections] == [
        "genre (classification)", "mood (tagging)", "valence (regression)",
    ]  # fmt: skip
    assert [part.title for part in sections[0].sections] == [
        "Differences between encoders", "Ranks", "What was predicted", "Each class",
        "Settings and selection bias",
    ]  # fmt: skip


def test_provenance_makes_tables_of_cards_and_lines_of_the_rest():
    section = provenance_section(
        {"seed": 0, "none": None, "cards": [{"a": 1}], "t": Table(["x"], [])}
    )
    assert section.blocks[0].rows == [["seed", "0"], ["none", ""]]
    assert [part.title for part in section.sections] == ["cards", "t"]


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(UsageError, match="PNG"):
        Figure(b"GIF89a", "caption", "alt")
    with pytest.raises(UsageError, match="alternative text"):
        Figure(map_plot([[0.0]], ["a"]).png, "caption", " ")
    with pytest.raises(UsageError, match="audio/ogg"):
        Audio(b"", "x", "text/html")
    with pytest.raises(UsageError, match="got 1 in row 0"):
        Table(["a", "b"], [["x"]])
