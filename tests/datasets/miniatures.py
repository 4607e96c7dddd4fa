"""Small trees laid out exactly as each known data set is distributed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from segue.datasets.known import Counts, KnownDataset, dataset
from segue.datasets.known.gtzan_speechmusic import NAMES
from segue.datasets.known.magnatagatune import EMPTY


@dataclass(frozen=True)
class Miniature:
    """How to build one, what its counts are, and where its metadata lies.

    ``metadata`` are files that, malformed, must be refused; ``hostile`` is a file and a text in it
    that names a path, where it does. ``listed`` is False where no list of the files is published,
    so that only counts can tell a missing one.
    """

    name: str
    build: Callable[[Path], None]
    counts: Counts
    metadata: tuple[str, ...] = ()
    hostile: tuple[str, str] | None = None
    listed: bool = True

    @property
    def known(self) -> KnownDataset:
        """The data set, expecting the miniature's numbers."""
        return replace(dataset(self.name), counts=self.counts)


def put(root: Path, *names: str) -> None:
    """Files with a little in them: enough where only names are looked at."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"sound")


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8", newline="")


def tone(root: Path, name: str) -> None:
    """A tenth of a second of audible wav."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.sin(2 * np.pi * 440 * np.arange(800) / 8000)
    soundfile.write(root / name, samples, 8000)


BALLROOM_XML = """<ballroom>
  <Waltz>
    <song album="Swing" artist="Tina &amp; Al" bpm="87" id="100603" title="Day" hash="{md5}"/>
    <song album="Swing" artist="Joan" bpm="87" id="100601" title="Song" hash="{md5}">
    \t<version id="100603"/><exact id="100901"/>
    </song>
  </Waltz>
  <Chacha>
    <song album="Hot" artist="Band" bpm="120" id="100701" title="Cha" hash="{md5}"/>
    <song album="Hot" artist="Joan" bpm="120" id="100901" title="Song" hash="{md5}">
      <exact id="100601"/><karaoke id="100902" voiced="1"/>
    </song>
    <song album="Hot" artist="" bpm="" id="100902" title="Song (karaoke)" hash="{md5}"/>
  </Chacha>
</ballroom>
"""


def ballroom(root: Path) -> None:
    md5 = hashlib.md5(b"sound", usedforsecurity=False).hexdigest()
    write(root, "extendedballroom_v1.1.xml", BALLROOM_XML.format(md5=md5))
    put(root, *(f"Waltz/{name}.mp3" for name in (100601, 100603)))
    put(root, *(f"Chacha/{name}.mp3" for name in (100701, 100901, 100902)))
    put(root, "Chacha/100701.txt", "Waltz/._100601.mp3")


def gtzan(root: Path) -> None:
    known = dataset("gtzan-genre")
    for genre in known.classes:
        (root / "genres" / genre).mkdir(parents=True)
        for number in range(100):
            (root / "genres" / genre / f"{genre}.{number:05d}.au").touch()


def speechmusic(root: Path) -> None:
    for label, names in NAMES.items():
        for name in names.split():
            put(root, f"music_speech/{label}_wav/{name}.wav")


STATIC = """song_id,mean_arousal,std_arousal,mean_valence,std_valence
2,3.1,0.99443,3,0.66667
3,3.5,1.8409,3.3,1.7029
10,5.7,1.4944,5.5,1.7159
"""
INFO = """song_id,file_name,Artist,Song title,start of the segment (min.sec),\
end of the segment (min.sec),Genre,Mediaeval 2013 set
2,2.mp3,\tThe New Mystikal\t,"Woke, this time\t",2.32,3.17,Blues,development
3,3.mp3,Nobody,Tears,1.02,1.47,Blues,development
4,4.mp3,Nobody,Left out,1.02,1.47,Blues,development
10,10.mp3,Another,Song,0.10,0.55,Jazz,evaluation
"""


def emomusic(root: Path) -> None:
    write(root, "annotations/static_annotations.csv", STATIC)
    write(root, "annotations/songs_info.csv", INFO)
    put(root, *(f"clips_45seconds/{song}.mp3" for song in (2, 3, 4, 10)))


def jamendo(root: Path) -> None:
    songs = {
        "train/01 - A city.mp3": "0 10.5 nosing\n10.5 20.25 sing\n20.25 30 nosing\n",
        "train/02 - Luna.ogg": "0 3.1 sing\n3.1 3.1 nosing\n3.1 9.3 nosing\n",
        "valid/05 - Change.ogg": "0 5 nosing\n5 6 sing\n",
        "test/03 - castaway.ogg": "0 5 nosing\n5 6 sing\n",
    }
    for name, lab in songs.items():
        put(root, name)
        write(root, f"jamendo_lab/{Path(name).stem}.lab", lab)


URBAN = """slice_file_name,fsID,start,end,salience,fold,classID,class
100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark
100263-2-0-117.wav,100263,58.5,62.5,1,5,2,children_playing
100263-2-0-121.wav,100263,60.5,64.5,1,5,2,children_playing
100648-1-0-0.wav,100648,4.823402,5.471927,2,10,1,car_horn
"""


def urbansound(root: Path) -> None:
    write(root, "UrbanSound8K/metadata/UrbanSound8K.csv", URBAN)
    for name in ("100032-3-0-0", "100263-2-0-117", "100263-2-0-121"):
        tone(root, f"UrbanSound8K/audio/fold5/{name}.wav")
    tone(root, "UrbanSound8K/audio/fold10/100648-1-0-0.wav")
    put(root, "UrbanSound8K/audio/fold5/.DS_Store")


MTT = """"clip_id"\t"no voice"\t"singer"\t"guitar"\t"mp3_path"
"2"\t"0"\t"0"\t"1"\t"f/bach-01-0-29.mp3"
"6"\t"1"\t"0"\t"1"\t"6/norine_braun-now_and_zen-08-gently-117-146.mp3"
"10"\t"0"\t"0"\t"0"\t"c/bach-02-0-29.mp3"
"""
MTT_INFO = """"clip_id"\t"track_number"\t"title"\t"artist"\t"album"\t"url"\t"mp3_path"
"2"\t"1"\t"Aria; first"\t"Bach Group"\t"Bach"\t"http://m/1"\t"f/bach-01-0-29.mp3"
"6"\t"8"\t"Gently"\t"Norine Braun"\t"Now and Zen"\t"http://m/2"\t"6/norine.mp3"
"10"\t"2"\t"Aria"\t"Bach Group"\t"Bach"\t"http://m/1"\t"c/bach-02-0-29.mp3"
"""


def magnatagatune(root: Path) -> None:
    write(root, "annotations_final.csv", MTT)
    write(root, "clip_info_final.csv", MTT_INFO)
    put(root, "f/bach-01-0-29.mp3", "c/bach-02-0-29.mp3", "0/.keep")
    (root / "6").mkdir()
    (root / EMPTY[0]).touch()


HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
TRACKS = {
    "train": "track_0000214\tartist_000014\talbum_000031\t14/214.mp3\t124.6\tgenre---punkrock\n",
    "validation": "track_0000382\tartist_000020\talbum_000046\t82/382.mp3\t211.1\t"
    "genre---classical\tinstrument---voice\n",
    "test": "track_0000759\tartist_000103\talbum_000124\t59/759.mp3\t379.8\tgenre---pop\n",
}
OUTSIDE = "track_0000773\tartist_000104\talbum_000126\t73/773.mp3\t275.3\tgenre---electronic\n"


def mtg_jamendo(root: Path) -> None:
    write(root, "data/autotagging_top50tags.tsv", HEADER + "".join(TRACKS.values()) + OUTSIDE)
    for word, row in TRACKS.items():
        write(root, f"data/splits/split-0/autotagging_top50tags-{word}.tsv", HEADER + row)
    put(root, *(f"audio/{name}.mp3" for name in ("14/214", "82/382", "59/759", "73/773")))
    (root / "audio/00").mkdir()


def msd(root: Path) -> None:
    tracks = {
        "train": (("TRAAA", "3/6/36122.npy", (0, 49)), ("TRAAB", "1/2/1283.npy", (1,))),
        "valid": (("TRAAC", "7/1/7102.npy", (33,)),),
        "test": (("TRAAD", "9/1/9185.npy", ()),),
    }
    for side, rows in tracks.items():
        write(root, f"{side}_x_msd_id.txt", "".join(f"{row[0]}\n" for row in rows))
        write(root, f"{side}_x_filename.txt", "".join(f"{row[1]}\n" for row in rows))
        labels = np.zeros((len(rows), 50), bool)
        for number, (*_, tags) in enumerate(rows):
            labels[number, list(tags)] = True
        np.save(root / f"{side}_y.npy", labels)
        put(root, *(f"audio/{row[1].removesuffix('.npy')}.clip.mp3" for row in rows))
    write(root, "train_x_7d_bad_duration_id.txt", "1283\n")
    artists = ("TRAAA", "TRAAB", "TRAAC", "TRAAD", "TRZZZ")
    write(
        root,
        "unique_tracks.txt",
        "".join(f"{one}<SEP>SO{one}<SEP>Artist {one[-1]}<SEP>A <SEP> title\n" for one in artists),
    )


def artists1517(root: Path) -> None:
    """Folders as other people's scripts name them; Table 2 of Hamel et al. has Childrens's."""
    songs = ("Childrens/Ann Lee - Moon.mp3", "Childrens/Band-Aid - A - B.mp3")
    put(root, *songs, "R&B & Soul/Ann Lee - Night.mp3", "Hip-Hop/MC X - Yes.mp3")
    put(root, "Hip-Hop/cover.jpg", "Hip-Hop/._MC X - Yes.mp3")


def homburg(root: Path) -> None:
    songs = ("alternative/50_Minutes-Colours", "alternative/H_A_D_-Policemen___Planes")
    put(root, *(f"{song}.mp3" for song in songs), "rock/H_A_D_-Carpool.mp3")
    put(root, "Music_features_17_10_2005.zip")


def unique(root: Path) -> None:
    put(root, "soul_rnb/one.mp3", "soul_rnb/two.mp3", "wort/one.mp3")


FMA_HEADER = """,album,album,artist,artist,artist,set,set,track,track,track,track
,id,title,bio,id,name,split,subset,genre_top,genres,genres_all,title
track_id,,,,,,,,,,,
"""
FMA_TRACKS = {
    2: '1,AWOL,"<p>One,\ntwo</p>",1,AWOL,training,small,Hip-Hop,[21],"[21, 2]",Food',
    134: "1,AWOL,,9,AWOL,validation,medium,Rock,[12],[12],Street Music",
    139: '58,Dark; Star,,52,Ann,test,large,,"[12, 38]","[12, 38]",A Way',
    98565: "70,Left,,60,Bob,training,small,Hip-Hop,[21],[21],Cut away",
    140: "-1,,,53,Ann,test,small,International,[2],[2],Queen",
}
FMA_GENRES = """genre_id,#tracks,parent,title,top_level
2,3,0,International,2
12,2,0,Rock,12
21,2,0,Hip-Hop,21
38,1,0,Experimental,38
"""
FMA_OF = {"small": (2, 140, 98565), "medium": (2, 134, 140, 98565)}


def fma(root: Path) -> None:
    """Rows not in the order of their numbers, and clips of every subset."""
    rows = "".join(f"{track},{row}\n" for track, row in FMA_TRACKS.items())
    write(root, "fma_metadata/tracks.csv", FMA_HEADER + rows)
    write(root, "fma_metadata/genres.csv", FMA_GENRES)
    for subset in ("small", "medium", "large", "full"):
        tracks = FMA_OF.get(subset, FMA_TRACKS)
        put(root, *(f"fma_{subset}/{one // 1000:03d}/{one:06d}.mp3" for one in tracks))
        put(root, f"fma_{subset}/README.txt")


def fma_miniature(subset: str, *, train: int, valid: int, test: int) -> Miniature:
    sides = {"train": train, "valid": valid, "test": test}
    return Miniature(
        f"fma-{subset}",
        fma,
        Counts(sum(sides.values()), {"split": {side: n for side, n in sides.items() if n}}),
        ("fma_metadata/tracks.csv", "fma_metadata/genres.csv"),
        ("fma_metadata/tracks.csv", "98565"),
    )


MINIATURES = (
    Miniature(
        "extended-ballroom",
        ballroom,
        Counts(5, {"genre": {"Waltz": 2, "Chacha": 3}}),
        ("extendedballroom_v1.1.xml",),
        ("extendedballroom_v1.1.xml", "100603"),
    ),
    Miniature("gtzan-genre", gtzan, dataset("gtzan-genre").counts),
    Miniature("gtzan-speechmusic", speechmusic, dataset("gtzan-speechmusic").counts),
    Miniature(
        "emomusic",
        emomusic,
        Counts(3, {"split": {"development": 2, "evaluation": 1}}),
        ("annotations/static_annotations.csv", "annotations/songs_info.csv"),
        ("annotations/static_annotations.csv", "10"),
    ),
    Miniature(
        "jamendo-vocal",
        jamendo,
        Counts(9, {"split": {"train": 5, "valid": 2, "test": 2}}),
        ("jamendo_lab/05 - Change.lab",),
    ),
    Miniature(
        "urbansound8k",
        urbansound,
        Counts(4, {"fold": {"5": 3, "10": 1}}),
        ("UrbanSound8K/metadata/UrbanSound8K.csv",),
        ("UrbanSound8K/metadata/UrbanSound8K.csv", "100648-1-0-0.wav"),
    ),
    Miniature(
        "magnatagatune",
        magnatagatune,
        Counts(3, {"split": {"train": 1, "valid": 1, "test": 1}}),
        ("annotations_final.csv", "clip_info_final.csv"),
        ("annotations_final.csv", "f/bach-01-0-29.mp3"),
    ),
    Miniature(
        "msd-lastfm",
        msd,
        Counts(4, {"split": {"train": 2, "valid": 1, "test": 1}}),
        ("unique_tracks.txt", "train_y.npy"),
        ("train_x_filename.txt", "3/6/36122.npy"),
    ),
    Miniature(
        "mtg-jamendo",
        mtg_jamendo,
        Counts(4, {"split": {"train": 1, "valid": 1, "test": 1, "": 1}}),
        (
            "data/autotagging_top50tags.tsv",
            "data/splits/split-0/autotagging_top50tags-test.tsv",
        ),
        ("data/autotagging_top50tags.tsv", "14/214.mp3"),
    ),
    Miniature(
        "1517-artists",
        artists1517,
        Counts(4, {"genre": {"Childrens's": 2, "R&B & Soul": 1, "Hip-Hop": 1}}),
        listed=False,
    ),
    Miniature(
        "homburg",
        homburg,
        Counts(3, {"genre": {"alternative": 2, "rock": 1}}),
        listed=False,
    ),
    Miniature("unique", unique, Counts(3, {"genre": {"soul_rnb": 2, "wort": 1}}), listed=False),
    fma_miniature("small", train=1, valid=0, test=1),
    fma_miniature("medium", train=1, valid=1, test=1),
    fma_miniature("large", train=1, valid=1, test=2),
    fma_miniature("full", train=2, valid=1, test=2),
)
