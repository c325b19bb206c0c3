"""Cats and dogs: coats are drawn the same way for both, heads and bodies are not."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from trainer.data.drawing.dice import Dice
from trainer.data.drawing.paint import WHITE, Brush, Colour, any_colour, gradient, mix
from trainer.data.drawing.shapes import closed_curve, ellipse, mirrored, open_curve, pts, symmetric, tube

_FURS: tuple[Colour, ...] = (
    (222, 150, 74),  # ginger
    (238, 214, 172),  # cream
    (140, 96, 58),  # brown
    (84, 58, 44),  # chocolate
    (52, 50, 54),  # black
    (140, 142, 150),  # grey
    (96, 108, 124),  # blue grey
    (242, 238, 230),  # white
    (196, 174, 140),  # fawn
)
_EYES: tuple[Colour, ...] = ((120, 170, 60), (220, 170, 50), (90, 60, 35), (80, 140, 190))
_NOSES: tuple[Colour, ...] = ((40, 32, 34), (60, 44, 44), (214, 130, 138), (120, 70, 62))


@dataclass(frozen=True)
class Coat:
    """The colours of one animal; fur is an image as large as the canvas."""

    fur: Image.Image
    base: Colour
    light: Colour  # belly, muzzle, paws
    inner: Colour  # inside of the ear, or its shaded side
    eye: Colour
    nose: Colour
    ink: Colour
    collar: Colour | None


def coat_of(dice: Dice, size: tuple[int, int], unit: float) -> Coat:
    """Colours and pattern, drawn the same way for cats and dogs; unit is the animal's unit in pixels."""
    base = mix(dice.pick(_FURS), any_colour(dice), dice.between(0, 0.3))
    second = mix(dice.pick(_FURS), any_colour(dice), dice.between(0, 0.3))
    fur = Image.new("RGB", size, base)
    draw = ImageDraw.Draw(fur)
    width, height = size
    match dice.pick(("plain", "plain", "stripes", "spots", "patches", "shaded")):
        case "stripes":
            colour = mix(base, second if dice.chance(0.5) else (30, 24, 20), dice.between(0.2, 0.5))
            step, lean = unit * dice.between(0.3, 0.6), dice.between(-0.5, 0.5)
            y = np.linspace(0, height, 24)
            wave = unit * 0.15 * np.sin(y / unit * dice.between(2, 5))
            for x in np.arange(-height / 2, width + height / 2, step):
                line = np.stack([x + wave + lean * (y - height / 2), y], 1)
                draw.line(line.ravel().tolist(), fill=colour, width=max(2, round(step * 0.4)))
        case "spots":
            colour = mix(base, second, dice.between(0.3, 0.7))
            for x, y, r in dice.array(round(min(400, 3 * width * height / unit**2)), 3).tolist():
                r = unit * (0.06 + 0.14 * r)
                draw.ellipse((x * width - r, y * height - r, x * width + r, y * height + r), fill=colour)
        case "patches":
            colour = mix(base, second, dice.between(0.3, 0.8))
            for x, y, r in dice.array(round(min(80, 0.5 * width * height / unit**2)), 3).tolist():
                r = unit * (0.25 + 0.45 * r)
                draw.ellipse((x * width - r, y * height - r, x * width + r, y * height + 0.7 * r), fill=colour)
        case "shaded":
            fur = gradient(dice, size, (base, mix(base, second, 0.8)))
    dark = sum(base) < 240
    ink = mix(base, (225, 220, 215) if dark else (25, 20, 18), dice.between(0.35, 0.8))
    return Coat(
        fur=fur,
        base=base,
        light=mix(base, WHITE, dice.pick((0.0, 0.3, 0.7, 1.0))),
        inner=mix(base, dice.pick(((235, 160, 160), (40, 30, 30), base)), dice.between(0.3, 0.7)),
        eye=mix(dice.pick(_EYES), WHITE, dice.between(0, 0.5)),
        nose=dice.pick(_NOSES),
        ink=ink,
        collar=any_colour(dice) if dice.chance(0.4) else None,
    )


def _eye(brush: Brush, dice: Dice, coat: Coat, cat: bool, x: float, y: float, size: float, asleep: bool) -> None:
    """An almond with an upright slit for a cat, a round eye with a wide pupil for a dog."""
    if asleep:
        arc = open_curve(size * pts((-1, 0), (-0.5, 0.5), (0.5, 0.5), (1, 0)))
        brush.shifted(x, y).stroke(arc, coat.ink, 0.07)
        return
    black: Colour = (18, 16, 18)
    look = dice.between(-0.2, 0.2) * size
    if cat:
        lean = -18 if x > 0 else 18
        almond = pts((-size * 1.15, 0), (0, -size * 0.85), (size * 1.15, 0), (0, size * 0.8))
        part = brush.shifted(x, y, lean)
        part.fill(closed_curve(almond), coat.eye)
        part.fill(ellipse(look, 0, size * dice.between(0.2, 0.4), size * 0.75), black, outline=False)
    else:
        brush.fill(ellipse(x, y, size * 0.85, size * 0.9), coat.eye)
        brush.fill(ellipse(x + look, y, size * 0.6, size * 0.65), black, outline=False)
    brush.fill(ellipse(x + size * 0.2, y - size * 0.3, size * 0.2, size * 0.2), WHITE, outline=False)


def _nose(brush: Brush, dice: Dice, coat: Coat, cat: bool, x: float, y: float) -> None:
    """A small triangle for a cat, a wide rounded nose for a dog."""
    if cat:
        size = dice.between(0.1, 0.15)
        brush.fill(pts((x - size, y - size * 0.6), (x + size, y - size * 0.6), (x, y + size * 0.8)), coat.nose)
    else:
        size = dice.between(0.2, 0.28)
        brush.shifted(x, y).fill(closed_curve(size * pts((-1, -0.1), (0, -0.7), (1, -0.1), (0, 0.7))), coat.nose)


def _whiskers(brush: Brush, dice: Dice, colour: Colour, x: float, y: float, side: int) -> None:
    reach, droop = dice.between(0.7, 1.1), dice.between(-0.15, 0.3)
    for row in (-1, 0, 1):
        end = (x + side * reach, y + row * 0.2 + droop)
        brush.stroke(open_curve(pts((x, y + row * 0.07), (x + side * reach * 0.5, y + row * 0.15), end)), colour, 0.03)


def _tongue(brush: Brush, dice: Dice, x: float, y: float) -> None:
    length = dice.between(0.18, 0.38)
    tongue = pts((-0.12, 0), (0.12, 0), (0.13, length * 0.7), (0, length), (-0.13, length * 0.7))
    brush.shifted(x, y).fill(closed_curve(tongue), (226, 112, 124))


def _cat_ears(brush: Brush, dice: Dice, coat: Coat, yaw: float) -> None:
    """Two upright triangles; the one on the far side of a turned head looks narrower."""
    height, lean, spread = dice.between(0.5, 0.85), dice.between(-0.1, 0.3), dice.between(0.6, 0.75)
    for side in (-1, 1):
        near = 1 + 0.25 * yaw * side
        x = side * spread * near + 0.1 * yaw
        half = 0.36 / max(near, 0.8)
        tip = (x + side * lean, -0.62 - height)
        ear = pts((x - half, -0.45), (x - half * 0.55 + side * lean * 0.4, -0.62 - height * 0.5), tip)
        ear = np.vstack([ear, pts((x + half * 0.65 + side * lean * 0.4, -0.55 - height * 0.45), (x + half, -0.3))])
        brush.fill(ear, coat.fur)
        middle = ear.mean(0) + np.array([0, 0.05])
        brush.fill(middle + (ear - middle) * 0.55, coat.inner, outline=False)


def _dog_ears(brush: Brush, dice: Dice, coat: Coat, yaw: float) -> None:
    """Two ears that hang down at the sides of the head, or stand half up with the tips folded over."""
    folded, length, out = dice.chance(0.35), dice.between(0.75, 1.35), dice.between(0.15, 0.4)
    paint = coat.fur if dice.chance(0.5) else coat.inner
    for side in (-1, 1):
        near = 1 + 0.2 * yaw * side
        x = 0.62 * near
        if folded:
            ear = pts(
                (x - 0.3, -0.7), (x - 0.02, -1.08), (x + 0.34, -1.0), (x + 0.5 + out, -0.55), (x + 0.42 + out, -0.25)
            )
            ear = np.vstack([ear, pts((x + 0.2, -0.5))])
        else:
            ear = pts((x - 0.28, -0.72), (x + 0.1, -0.82), (x + 0.25 + out, -0.45), (x + 0.32 + out, -0.7 + length))
            ear = np.vstack([ear, pts((x + 0.1 + out * 0.7, -0.6 + length), (x, -0.35 + length * 0.4))])
        if side < 0:
            ear = mirrored(ear)
        brush.shifted(0.1 * yaw, 0).fill(closed_curve(ear), paint)


def head_front(brush: Brush, dice: Dice, coat: Coat, cat: bool, yaw: float) -> None:
    """A head seen from the front, turned by yaw in [-1, 1]."""
    asleep, tongue = dice.chance(0.08), dice.chance(0.3)
    wide, tall = dice.between(0.92, 1.1), dice.between(0.92, 1.08)
    if cat:
        _cat_ears(brush, dice, coat, yaw)
        right = pts((0.3, -0.78), (0.78, -0.5), (0.98, 0.08), (0.72, 0.58), (0.25, 0.8))
    else:
        right = pts((0.3, -0.84), (0.72, -0.58), (0.84, -0.05), (0.66, 0.5), (0.25, 0.85))
    head = closed_curve(symmetric(right * (wide, tall)))
    brush.fill(head, coat.fur)
    if dice.chance(0.3):
        blaze = closed_curve(symmetric(pts((0.04, -0.7), (0.12, -0.3), (0.3, 0.3))))
        brush.shifted(0.2 * yaw, 0).fill(blaze, coat.light, outline=False)
    if not cat:
        _dog_ears(brush, dice, coat, yaw)
    gap, level, size = dice.between(0.36, 0.44), dice.between(-0.2, -0.08), dice.between(0.18, 0.24)
    for side in (-1, 1):
        _eye(brush, dice, coat, cat, side * gap + 0.22 * yaw, level, size, asleep)
    if cat:
        x, y = 0.3 * yaw, dice.between(0.2, 0.28)
        if tongue:
            _tongue(brush, dice, x, y + 0.3)
        for side in (-1, 1):
            brush.fill(ellipse(x + side * 0.16, y + 0.2, 0.21, 0.17), coat.light, outline=False)
        _nose(brush, dice, coat, cat, x, y)
        mouth = pts((x - 0.3, y + 0.25), (x - 0.15, y + 0.34), (x, y + 0.14), (x + 0.15, y + 0.34), (x + 0.3, y + 0.25))
        brush.stroke(mouth, coat.ink, 0.05)
        pale = WHITE if sum(coat.base) < 420 else coat.ink
        for side in (-1, 1):
            _whiskers(brush, dice, pale, x + side * 0.28, y + 0.18, side)
    else:
        x, y, half = 0.5 * yaw, dice.between(0.4, 0.52), dice.between(0.4, 0.52)
        if tongue:
            _tongue(brush, dice, x, y + 0.33)
        brush.fill(ellipse(x, y, half, dice.between(0.36, 0.46)), coat.light)
        _nose(brush, dice, coat, cat, x, y - 0.18)
        mouth = pts((x - 0.24, y + 0.2), (x - 0.1, y + 0.25), (x, y), (x + 0.1, y + 0.25), (x + 0.24, y + 0.2))
        brush.stroke(mouth, coat.ink, 0.05)


def head_side(brush: Brush, dice: Dice, coat: Coat, cat: bool) -> None:
    """A head in profile, looking to the left: short face and upright ear, or long snout and hanging ear."""
    asleep, tongue = dice.chance(0.12), dice.chance(0.3)
    back = pts((0.2, 0.82), (0.75, 0.5), (0.88, -0.1), (0.6, -0.65), (0.1, -0.84))
    if cat:
        face = pts((-0.45, -0.66), (-0.78, -0.18), (-0.98, 0.12), (-0.92, 0.42), (-0.45, 0.7))
        nose, chin = (-0.96, 0.14), (-0.82, 0.42)
        x, lean, height = dice.between(0.2, 0.4), dice.between(-0.1, 0.3), dice.between(0.55, 0.85)
        for dx, paint in ((-0.35, coat.inner), (0.0, coat.fur)):
            ear = pts((x + dx - 0.38, -0.55), (x + dx + lean, -0.65 - height), (x + dx + 0.38, -0.45))
            brush.fill(ear, paint)
    else:
        long = dice.between(0.25, 0.7)
        face = pts((-0.45, -0.7), (-0.66, -0.25), (-0.95 - long, -0.02), (-1.0 - long, 0.38), (-0.7, 0.56))
        nose, chin = (-0.98 - long, 0.06), (-0.8 - long * 0.6, 0.42)
    if tongue:
        _tongue(brush, dice, chin[0] + 0.1, chin[1] - 0.05)
    brush.fill(closed_curve(np.vstack([back, face])), coat.fur)
    if dice.chance(0.5):
        brush.fill(ellipse(chin[0] + 0.12, chin[1] - 0.12, 0.2, 0.13), coat.light, outline=False)
    _eye(brush, dice, coat, cat, -0.38, dice.between(-0.25, -0.1), dice.between(0.15, 0.21), asleep)
    _nose(brush, dice, coat, cat, *nose)
    brush.stroke(pts((nose[0] + 0.08, chin[1] - 0.14), (chin[0] + 0.3, chin[1] - 0.06)), coat.ink, 0.05)
    if cat:
        _whiskers(brush, dice, WHITE if sum(coat.base) < 420 else coat.ink, -0.7, 0.26, dice.pick((-1, 1)))
    else:
        length, out = dice.between(0.7, 1.15), dice.between(0.1, 0.4)
        ear = pts(
            (0.05, -0.68),
            (0.4, -0.6),
            (0.45 + out, 0.0),
            (0.35 + out, -0.55 + length),
            (0.1 + out * 0.5, -0.5 + length),
        )
        brush.fill(closed_curve(np.vstack([ear, pts((0.02, -0.1))])), coat.fur if dice.chance(0.5) else coat.inner)


def _tail(brush: Brush, dice: Dice, coat: Coat, cat: bool, x: float, y: float) -> None:
    """From (x, y) to the right: long, thin and curling for a cat, short and tapering for a dog."""
    if cat:
        up, curl = dice.between(-1.7, 0.2), dice.between(-0.6, 0.6)
        path = pts(
            (x, y),
            (x + 0.6, y + 0.1),
            (x + 0.95, y + up * 0.5),
            (x + 0.9 + curl * 0.5, y + up),
            (x + 0.9 + curl, y + up - 0.25),
        )
        brush.fill(tube(path, 0.17, 0.13), coat.fur)
    else:
        up, out = dice.between(-1.0, 0.3), dice.between(0.4, 0.8)
        path = pts((x, y), (x + out * 0.6, y + up * 0.3), (x + out, y + up))
        brush.fill(tube(path, 0.24, 0.07), coat.fur)


def _leg(brush: Brush, coat: Coat, x: float, top: float, foot: float, half: float) -> None:
    brush.fill(tube(pts((x, top), (x, (top + foot) / 2), (x - 0.03, foot)), half, half * 0.85), coat.fur)
    brush.fill(ellipse(x - 0.1, foot + 0.02, half * 1.35, half * 0.7), coat.light)


def _collar(brush: Brush, coat: Coat, y: float, half: float) -> None:
    if coat.collar is not None:
        band = open_curve(pts((-half, y - 0.1), (0, y + 0.06), (half, y - 0.1)))
        brush.stroke(band, coat.collar, 0.17)
        brush.fill(ellipse(0, y + 0.14, 0.12, 0.12), mix(coat.collar, (250, 220, 90), 0.7))


def bust(brush: Brush, dice: Dice, coat: Coat, cat: bool) -> None:
    """Neck and shoulders, continuing below the picture."""
    half = dice.between(0.9, 1.3)
    brush.fill(closed_curve(symmetric(pts((0.5, 0.3), (half * 0.8, 1.0), (half, 2.0), (half, 5.0)))), coat.fur)
    if dice.chance(0.5):
        brush.fill(closed_curve(symmetric(pts((0.3, 0.6), (0.45, 1.3), (0.2, 2.2)))), coat.light, outline=False)
    _collar(brush, coat, 0.95, 0.72)


def sitting(brush: Brush, dice: Dice, coat: Coat, cat: bool) -> None:
    """A pear from the front, with two front legs, haunches and a tail to one side."""
    half, foot = dice.between(0.85, 1.15), dice.between(2.2, 2.7)
    _tail(brush, dice, coat, cat, half * 0.7, foot - 0.35)
    pear = symmetric(pts((0.42, 0.4), (0.62, 1.1), (half, foot - 0.6), (half * 0.8, foot), (0.2, foot)))
    brush.fill(closed_curve(pear), coat.fur)
    if dice.chance(0.5):
        brush.fill(ellipse(0, 1.35, 0.38, 0.6), coat.light, outline=False)
    for side in (-1, 1):
        brush.fill(ellipse(side * half * 0.85, foot - 0.02, 0.34, 0.17), coat.light)
        _leg(brush, coat, side * 0.28 + 0.05, 1.4, foot, 0.2)
    _collar(brush, coat, 0.9, 0.55)


def standing(brush: Brush, dice: Dice, coat: Coat, cat: bool) -> None:
    """From the side, the head at the left end."""
    long, foot, thick = dice.between(2.0, 2.7), dice.between(2.1, 2.7), dice.between(0.58, 0.75)
    _tail(brush, dice, coat, cat, long + 0.35, 0.95)
    stride = dice.between(-0.2, 0.25)
    for x in (0.55 + stride, long - 0.2 + stride):
        _leg(brush, coat, x, 1.3, foot - 0.08, 0.2)
    trunk = pts(
        (0.0, 0.3), (0.7, 0.55), (long * 0.6, 0.62), (long + 0.3, 0.75), (long + 0.45, 1.2), (long, 1.2 + thick * 0.8)
    )
    trunk = np.vstack([trunk, pts((long * 0.5, 1.15 + thick), (0.3, 1.2 + thick * 0.9), (-0.25, 1.0))])
    brush.fill(closed_curve(trunk), coat.fur)
    for x in (0.2 - stride, long + 0.1 - stride):
        _leg(brush, coat, x, 1.3, foot, 0.21)
    _collar(brush.shifted(0.15, 0), coat, 0.85, 0.5)


def lying(brush: Brush, dice: Dice, coat: Coat, cat: bool) -> None:
    """Lying down, the head at the left end, paws in front."""
    long = dice.between(2.0, 2.7)
    _tail(brush, dice, coat, cat, long + 0.1, 1.1)
    trunk = pts(
        (-0.2, 0.3),
        (0.8, 0.3),
        (long * 0.7, 0.2),
        (long + 0.3, 0.65),
        (long + 0.35, 1.25),
        (long * 0.5, 1.4),
        (-0.3, 1.38),
    )
    brush.fill(closed_curve(trunk), coat.fur)
    brush.fill(ellipse(long - 0.3, 1.0, 0.55, 0.4), coat.fur)
    for x in (-0.55, 0.1):
        brush.fill(ellipse(x, 1.32, 0.38, 0.17), coat.light)
    _collar(brush, coat, 0.9, 0.55)


POSES = (bust, sitting, standing, lying)
