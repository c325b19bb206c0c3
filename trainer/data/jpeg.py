"""JPEG in the graph: what its header says, which pictures are refused before decoding, and decoding upright.

A JPEG is a chain of segments (FF, marker, length, content) up to the first scan (SOS). Walking it takes as long as a
tenth of decoding a small picture, so it is done for those pictures only that may need it: that have an Exif segment or
more than one SOS, or are large.
"""

from dataclasses import dataclass

import tensorflow as tf

from trainer.data.exif import orientation, turn
from trainer.data.limits import MAX_PIXELS, MAX_SCALED_PIXELS, MAX_SCANS
from trainer.tensors import Flag, Integer, Operation, Tensor

RATIOS = (2, 4, 8)
"""By which libjpeg can scale a picture down as it decodes."""

SEVERAL_SCANS = "progressive JPEG above"
TOO_MANY_SCANS = "scans, more than"
TOO_LARGE = "JPEG above"

_MOST_SEGMENTS = 512
_SOS = b"\xff\xda"
_HAS_EXIF = r"\C*Exif\x00\x00\C*"  # \C is any byte: the text is no UTF-8
_NO_LENGTH = (0x01, *range(0xD0, 0xD9))
_FRAMES = tuple(marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC))
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)


@dataclass(frozen=True)
class Header:
    """What the segments before the first scan say.

    Attributes:
        exif: string, the TIFF file in the first Exif segment; empty where there is none.
        scans: string, from the first SOS to the end of the file; where no SOS was found, the whole file.
        one_pass: whether the first scan is the whole picture, so that it can be decoded row by row.
    """

    exif: Tensor
    scans: Tensor
    one_pass: Flag


def decode_upright(encoded: Tensor) -> Tensor:
    """Decode a JPEG as people see it: string scalar → uint8 [height, width, 3].

    Above MAX_PIXELS it is scaled down by 2, 4 or 8 while it is decoded.

    Raises:
        tf.errors.InvalidArgumentError: damaged; or refused before decoding: too large, or with too many scans.
    """
    pixels = tf.reduce_prod(_shape(encoded)[:2])
    parts = _split(encoded, 2)
    plain = (tf.size(parts) <= 2) & (pixels <= MAX_PIXELS) & ~tf.strings.regex_full_match(parts[0], _HAS_EXIF)
    # One node of the graph: inlined, its hundreds would be passed over for every picture that does not need them.
    careful = tf.function(_decode_carefully, autograph=False, experimental_attributes={"_noinline": True})
    return tf.cond(plain, lambda: _decode(encoded, 1), lambda: careful(encoded))


def exif_orientation(encoded: Tensor) -> Integer:
    """Exif's orientation of a JPEG, 1 to 8; 1 for anything else: string scalar → int64."""
    is_jpeg = tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"
    one = tf.constant(1, tf.int64)
    return tf.cond(is_jpeg, lambda: orientation(read_header(encoded, one).exif), lambda: one)


def _shape(encoded: Tensor) -> Tensor:
    """Height and width, which have 16 bits each, and components: int64 [3]."""
    return tf.io.extract_jpeg_shape(encoded, output_type=tf.int64)


def _split(encoded: Tensor, most: int) -> Tensor:
    """The text at the first `most` SOS. The operation itself: tf.strings.split costs as much as a cheap resize more."""
    return tf.raw_ops.StringSplitV2(input=encoded[None], sep=_SOS, maxsplit=most).values


def _decode(encoded: Tensor, ratio: int) -> Tensor:
    picture = tf.io.decode_jpeg(encoded, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(picture, [None, None, 3])


def _decode_carefully(encoded: Tensor) -> Tensor:
    shape = _shape(encoded)
    pixels = shape[0] * shape[1]
    header = read_header(encoded, shape[2])
    with tf.control_dependencies(_refusals(header, pixels)):
        encoded = tf.identity(encoded)
    # The smallest ratio that brings it to MAX_PIXELS; 1 for all that was ever decoded at full size.
    step = tf.reduce_sum(tf.cast([pixels > MAX_PIXELS * ratio**2 for ratio in (1, *RATIOS[:-1])], tf.int32))
    picture = tf.switch_case(step, [lambda ratio=ratio: _decode(encoded, ratio) for ratio in (1, *RATIOS)])
    return turn(picture, orientation(header.exif))


def _refusals(header: Header, pixels: Integer) -> list[Operation]:
    scans = tf.size(_split(header.scans, MAX_SCANS + 1)) - 1
    large = pixels > MAX_PIXELS
    return [
        tf.debugging.Assert(header.one_pass | (scans <= MAX_SCANS), [TOO_MANY_SCANS, MAX_SCANS]),
        tf.debugging.Assert(header.one_pass | ~large, [SEVERAL_SCANS, MAX_PIXELS]),
        tf.debugging.Assert(pixels <= MAX_SCALED_PIXELS, [TOO_LARGE, MAX_SCALED_PIXELS]),
    ]


def read_header(encoded: Tensor, components: Integer) -> Header:
    """Walk the segments of a JPEG, string scalar, as far as they are in order: what follows is not believed."""
    size = tf.strings.length(encoded)

    def more(number: Tensor, at: Tensor, marker: Tensor, *_: Tensor) -> Flag:
        return (number < _MOST_SEGMENTS) & (marker != 0xDA) & (at >= 0)

    def step(number: Tensor, at: Tensor, marker: Tensor, frame: Tensor, start: Tensor, length: Tensor) -> list[Tensor]:
        first, marker, upper, lower = tf.unstack(_octets(encoded, at, 4))
        marker = tf.where(first == 0xFF, marker, 0)
        here = upper * 256 + lower
        is_exif = (marker == 0xE1) & (here >= 8) & (tf.strings.substr(encoded, at + 4, 6) == b"Exif\0\0") & (start == 0)
        after = tf.where(marker == 0xFF, at + 1, tf.where(_among(marker, _NO_LENGTH), at + 2, at + 2 + here))
        bare = (marker == 0xFF) | _among(marker, _NO_LENGTH)
        sound = (marker != 0) & (bare | (here >= 2)) & (after + 4 <= size)
        return [
            number + 1,
            tf.where(marker == 0xDA, at, tf.where(sound, after, -1)),
            marker,
            tf.where((frame == 0) & _among(marker, _FRAMES), marker, frame),
            tf.where(is_exif, at + 10, start),
            tf.where(is_exif, here - 8, length),
        ]

    begin = tf.where(size >= 6, 2, -1)
    _, at, marker, frame, start, length = tf.while_loop(more, step, [0, begin, 0, 0, 0, 0])
    reached = (marker == 0xDA) & (at >= 0)
    scans = tf.strings.substr(encoded, tf.where(reached, at, 0), size)
    in_scan = tf.cond(reached, lambda: _octets(scans, 4, 1)[0], lambda: 0)
    whole = tf.cast(in_scan, tf.int64) == components
    one_pass = reached & (frame != 0) & ~_among(frame, _PROGRESSIVE) & whole
    return Header(tf.strings.substr(encoded, start, length), scans, one_pass)


def _octets(text: Tensor, at: Tensor | int, count: int) -> Tensor:
    """So many bytes as int32 [count]; zeros where the text is over."""
    octets = tf.cast(tf.io.decode_raw(tf.strings.substr(text, at, count), tf.uint8), tf.int32)
    return tf.ensure_shape(tf.pad(octets, [[0, count - tf.size(octets)]]), [count])


def _among(value: Tensor, values: tuple[int, ...]) -> Flag:
    return tf.reduce_any(value == tf.constant(values, value.dtype))
