"""The background, objects in front of the animal, and camera effects."""

import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from trainer.data.drawing.dice import Dice
from trainer.data.drawing.paint import Brush, any_colour, gradient, mix, smooth
from trainer.data.drawing.shapes import closed_curve, ellipse, open_curve, pts, tube


def background(dice: Dice, size: tuple[int, int]) -> Image.Image:
    """A background with objects, some with the outlines of ears, tails and snouts."""
    width, height = size
    a, b, c = any_colour(dice), any_colour(dice), any_colour(dice)
    image = gradient(dice, size, (a, mix(a, b, 0.5), b))
    draw = ImageDraw.Draw(image)
    horizon = round(height * dice.between(0.35, 0.85))
    match dice.pick(("gradient", "field", "room", "hills", "noise")):
        case "field":
            draw.rectangle((0, horizon, width, height), fill=c)
            for x, y, r in dice.array(120, 3).tolist():
                foot = horizon + y * (height - horizon)
                blade = (x * width, foot, x * width + (r - 0.5) * 16, foot - 10 - 18 * y)
                draw.line(blade, fill=mix(c, b, r * 0.7), width=3)
        case "room":
            step = round(width * dice.between(0.06, 0.2))
            for x in range(0, width, step) if dice.chance(0.5) else ():
                draw.rectangle((x, 0, x + step // 2, horizon), fill=mix(a, b, 0.6))
            draw.rectangle((0, horizon, width, height), fill=c)
            x, y = dice.between(0, 0.7) * width, dice.between(0, 0.3) * height
            frame = (x, y, x + dice.between(0.2, 0.4) * width, y + dice.between(0.2, 0.4) * height)
            draw.rectangle(frame, fill=any_colour(dice), outline=any_colour(dice), width=6)
        case "hills":
            for _ in range(dice.integer(2, 5)):
                x, half, top = dice.between(0, width), dice.between(0.1, 0.4) * width, dice.between(0.1, 0.7) * height
                draw.polygon((x - half, height, x, top, x + half, height), fill=any_colour(dice))
            draw.rectangle((0, horizon, width, height), fill=c)
        case "noise":
            cells = dice.array(dice.integer(6, 24), dice.integer(6, 24), 3)
            grain = Image.fromarray((cells * 255).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
            image = Image.blend(image, grain, dice.between(0.1, 0.3))
    for _ in range(dice.integer(0, 3)):
        thing(image, dice, dice.between(0, width), dice.between(0, height), min(size) * dice.between(0.04, 0.16))
    return image


def thing(image: Image.Image, dice: Dice, x: float, y: float, size: float) -> None:
    """One object: a ball, a tent, a leaf, a box, a rope or a bundle of straws."""
    colour, ink = any_colour(dice), any_colour(dice)
    brush = Brush(image, np.array([[1.0, 0, 0], [0, 1, 0]]), ink, 2).shifted(x, y, dice.between(-60, 60), size)
    match dice.pick(("ball", "tent", "leaf", "box", "rope", "straws")):
        case "ball":
            brush.fill(ellipse(0, 0, 1, 1), colour)
            brush.stroke(open_curve(pts((-1, 0), (0, 0.3), (1, 0))), ink, 0.2)
        case "tent":
            brush.fill(pts((-0.7, 0.8), (0, -1), (0.7, 0.8)), colour)
        case "leaf":
            brush.fill(closed_curve(pts((0, -1.2), (0.5, 0), (0.3, 1), (-0.3, 1), (-0.5, 0))), colour)
        case "box":
            brush.fill(pts((-1, -0.8), (1, -0.8), (1, 0.8), (-1, 0.8)), colour)
        case "rope":
            path = pts((-1.6, 0.3), (-0.6, -0.4), (0.3, 0.5), (1.4, -0.3))
            brush.fill(tube(path, 0.2, dice.between(0.05, 0.2)), colour)
        case "straws":
            for row in (-1, 0, 1):
                brush.stroke(pts((-1.5, row * 0.15), (1.5, row * 0.45)), colour, 0.06)


def occlude(image: Image.Image, dice: Dice, head: tuple[float, float], radius: float) -> None:
    """Things in front of the animal: grass, a fence rail, balls. Nothing large covers the face."""
    width, height = image.size
    draw = ImageDraw.Draw(image)
    match dice.pick(("none", "none", "none", "grass", "bar", "things")):
        case "grass":
            colour = any_colour(dice)
            for x, tall, lean in dice.array(40, 3).tolist():
                top = height - tall * min(height * 0.3, max(0.0, height - head[1]))
                foot = x * width
                blade = (foot - 5, height, foot + 5, height, foot + (lean - 0.5) * 40, top)
                draw.polygon(blade, fill=mix(colour, (20, 30, 20), lean * 0.4))
        case "bar":
            half = radius * dice.between(0.06, 0.13)
            x = head[0] + dice.pick((-1, 1)) * radius * dice.between(0.5, 2)
            draw.rectangle((x - half, 0, x + half, height), fill=any_colour(dice))
        case "things":
            for _ in range(dice.integer(1, 3)):
                angle, far = dice.between(0, math.pi), radius * dice.between(1.4, 3)
                x, y = head[0] + far * math.cos(angle), head[1] + far * math.sin(angle)
                thing(image, dice, x, y, radius * dice.between(0.25, 0.5))


def develop(image: Image.Image, dice: Dice) -> Image.Image:
    """Light, tint, grain and blur, as from many cameras. Takes the final size; (height, width, 3) uint8 inside."""
    width, height = image.size
    if dice.chance(0.3):
        image = image.filter(ImageFilter.GaussianBlur(dice.between(0.4, 1.0)))
    light = smooth(dice.array(2, 3) * 75 + 180, image.size)
    image = ImageChops.multiply(image, Image.merge("RGB", (light, light, light)))
    tint = np.array([dice.between(0.88, 1.12) for _ in range(3)], np.float32)
    contrast, bright = np.float32(dice.between(0.7, 1.15)), np.float32(dice.between(-8, 42))
    pixels = (np.asarray(image, np.float32) - 128) * (contrast * tint) + (128 + bright)
    if dice.chance(0.5):
        grain = dice.array(height, width, 1).astype(np.float32) - np.float32(0.5)
        pixels += grain * np.float32(dice.between(8, 36))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
