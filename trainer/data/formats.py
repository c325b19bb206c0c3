"""What a picture is by its first bytes, and what the file that an import makes of it is called. Pure."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

JPEG, PNG = "jpeg", "png"

CONVERTED: Mapping[str, tuple[str, ...]] = {
    "webp": (".webp",),
    "bmp": (".bmp", ".dib"),
    "gif": (".gif",),
    "tiff": (".tif", ".tiff"),
    "avif": (".avif", ".avifs"),
    "heic": (".heic", ".heif", ".hif"),
    "jpeg2000": (".jp2", ".j2k", ".jpx"),
    "ppm": (".ppm", ".pgm", ".pbm", ".pnm"),
}
"""Kinds of pictures that an import makes PNG of, with the endings of their names."""

CONVERTED_SUFFIXES = tuple(suffix for suffixes in CONVERTED.values() for suffix in suffixes)

_SUFFIX = re.compile(
    r"\.(p?jpe?g|jpe|jfif|pjp|mpo|jpg_large|a?png|" + "|".join(one[1:] for one in CONVERTED_SUFFIXES) + ")$",
    re.IGNORECASE,
)
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2")


def kind_of(encoded: bytes) -> str:
    """ "jpeg", "png" or a kind of `CONVERTED`; empty for anything else."""
    start = encoded[:64]
    return next((kind for kind, fits in _KINDS if fits(start)), "")


def _is_bmp(start: bytes) -> bool:
    return start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADERS


def _brands(start: bytes) -> tuple[bytes, ...]:
    """The brands of a file in ISO's container, its own first and then those that it fits."""
    if start[4:8] != b"ftyp":
        return ()
    size = min(int.from_bytes(start[:4], "big"), len(start))
    return (start[8:12], *(start[at : at + 4] for at in range(16, size - 3, 4)))


_KINDS: tuple[tuple[str, Callable[[bytes], object]], ...] = (
    (JPEG, lambda start: start.startswith(b"\xff\xd8\xff")),
    (PNG, lambda start: start.startswith(b"\x89PNG\r\n\x1a\n")),
    ("webp", lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP"),
    ("bmp", _is_bmp),
    ("gif", lambda start: start.startswith((b"GIF87a", b"GIF89a"))),
    ("tiff", lambda start: start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))),
    ("avif", lambda start: {b"avif", b"avis"} & set(_brands(start))),
    ("heic", lambda start: set(_HEIC_BRANDS) & set(_brands(start))),
    ("jpeg2000", lambda start: start.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"))),
    ("ppm", lambda start: re.match(rb"P[1-6][\s#]", start)),
)

_OTHERS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\Z"), "an empty file"),
    (re.compile(rb"\x00+\Z"), "nothing but zeros"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head)", re.IGNORECASE), "a web page"),
    (re.compile(rb"\s*(<\?xml.*)?<svg", re.DOTALL | re.IGNORECASE), "an SVG drawing, which is not converted"),
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL "), "a JPEG XL picture, which is not converted"),
    (re.compile(rb"8BPS"), "a Photoshop file, which is not converted"),
    (re.compile(rb"%PDF"), "a PDF"),
    (re.compile(rb"\x00\x00\x01\x00"), "an icon, which is not converted"),
    (re.compile(rb"\x00\x05\x16[\x00\x07]"), "what macOS keeps beside a file"),
    (re.compile(rb"version https://git-lfs"), "a pointer of Git LFS: get the pictures with git lfs pull"),
)


def other_kind(encoded: bytes) -> str:
    """What a file is that is no picture of ours, in a few words; empty where it is not known."""
    return next((words for pattern, words in _OTHERS if pattern.match(encoded[:512])), "")


@dataclass(frozen=True)
class Names:
    """What a picture's file may be called in the target: as it is, or by its content."""

    own: str
    jpeg: str
    png: str

    def of(self, kind: str, fits: bool) -> str:
        """The name for content of this kind; `fits`: its own name is one that training takes for a picture's."""
        if kind in CONVERTED or (kind == PNG and not fits):
            return self.png
        return self.jpeg if kind == JPEG and not fits else self.own


def names(paths: Iterable[str]) -> dict[str, Names]:
    """For each path the names that its file may get, whatever the contents: no two are the same, or differ by case.

    photo.webp becomes photo.png where no other file is called photo, else photo.webp.png.
    """
    ordered = sorted(paths)
    taken = {path.lower() for path in ordered}
    stems = Counter(_stem(path).lower() for path in ordered)
    found = {}
    for path in ordered:
        made = [_free(path, suffix, stems[_stem(path).lower()] > 1, taken) for suffix in (".jpg", ".png")]
        found[path] = Names(path, *made)
    return found


def _stem(path: str) -> str:
    return _SUFFIX.sub("", path) if not path.rpartition("/")[2].startswith(".") else path


def _free(path: str, suffix: str, shared: bool, taken: set[str]) -> str:
    if path.lower().endswith(suffix):
        return path
    stem, number = path if shared else _stem(path), 1
    name = stem + suffix
    while name.lower() in taken:
        number += 1
        name = f"{path}-{number}{suffix}"
    taken.add(name.lower())
    return name


def counted(kinds: Sequence[str]) -> dict[str, int]:
    """How many there are of each kind, by name."""
    return dict(sorted(Counter(kinds).items()))
