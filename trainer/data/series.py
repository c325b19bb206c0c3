"""Whether pictures are named like a series in time: those that follow each other are then alike. Pure."""

import re
from collections.abc import Iterable

_DEVICE = (
    r"img|image|imag|dsc|dscn|dscf|dji|gopr|pxl|mvi|vid|video|cimg|sam|pict|photo|picture|wp|mg|screenshot|vlcsnap"
    r"|frame|frm|fr|f|still|shot|snap|snapshot|capture|burst|seq|cam|camera|scene|clip|take|t"
)
_SERIES = re.compile(
    rf"(?<![a-z])(?:{_DEVICE})(?:\d[ _.-])?[ _.()#-]*\d{{2,}}"
    r"|(?<![a-z0-9])[pg]\d{7}"
    r"|^\d{3}_\d{4}\b"
    r"|(?<!\d)(?:19|20)\d\d[-_.:]?(?:0[1-9]|1[0-2])[-_.:]?(?:0[1-9]|[12]\d|3[01])(?:\d{4}|\d{6}|\d{9})?(?!\d)"
    r"|(?<!\d)(?:0[1-9]|[12]\d|3[01])[-_.](?:0[1-9]|1[0-2])[-_.](?:19|20)\d\d(?!\d)"
    r"|(?<!\d)[0-2]\d[-_.:h][0-5]\d[-_.:m][0-5]\d(?!\d)"
    r"|(?<!\d)1[3-9]\d{8}(?:\d{3}|\d{6}|\d{9})?(?!\d)",
    re.IGNORECASE,
)
_FEWEST = 3


def in_series(names: Iterable[str]) -> str:
    """One of the names, where half of them or more look like a camera's, a video's or times; else nothing."""
    listed = [name.rpartition("/")[2] for name in names]
    found = [name for name in listed if _SERIES.search(name.rpartition(".")[0] or name)]
    return min(found) if len(found) >= max(_FEWEST, len(listed) / 2) else ""
