"""What a file of a data set is, by its name alone: litter, a picture, one that only import takes, or something else."""

import re

LITTER = "litter"
PICTURE = "picture"

_DECODED = re.compile(r"jpe?g|jpe|jfif|pjpe?g|pjp|mpo|a?png")
# Anything else after a dot is no suffix: cat.12, "photo 1.2 (final)", a.jpg_large or a.jpg?w=300 as scrapers leave.
# Such files are candidates, and content decides at decoding.
_SUFFIX = re.compile(r"(?=.*[a-z])[a-z0-9]{1,10}")
_HIDDEN = re.compile(r"\.(?!\.)")  # "..jpg" is odd, but nobody's litter
# Names without their dot too, as Kaggle stores .DS_Store.
_LITTER = {"__macosx", "_ds_store", "thumbs.db", "desktop.ini", "@eadir"}
_LITTER |= {"$recycle.bin", "system volume information", "lost+found"}
_DOCUMENTS = {"readme", "license", "licence", "notice", "copying", "authors", "changelog", "makefile", "dockerfile"}


def is_litter(name: str) -> bool:
    """What systems and editors leave in folders: hidden files and folders, resource forks, caches of thumbnails."""
    return any(_HIDDEN.match(part) or part.casefold() in _LITTER for part in name.split("/"))


def kind_of(name: str) -> str:
    """`PICTURE`, `LITTER`, or the file's suffix in small letters ("no suffix": a README and the like)."""
    if is_litter(name):
        return LITTER
    file = name.rpartition("/")[2].lower()
    _, dot, suffix = file.rpartition(".")
    if file.endswith("~"):
        return LITTER
    if not dot or not _SUFFIX.fullmatch(suffix):
        return "no suffix" if file in _DOCUMENTS else PICTURE
    return PICTURE if _DECODED.fullmatch(suffix) else f".{suffix}"
