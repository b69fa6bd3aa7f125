"""Colours of the parts of a head that no photo shows: skin goes on from skin, hair from hair.

Near the outline of a head, a photo shows skin in grazing light, in the shadow of the hair, or mixed with hair. Such
colours would spread over cheeks, ears and neck. `skin_trust` finds them: they differ from the skin further inside.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.texture.appearance import OWN, View, behind_colors
from facegeom.texture.beard import full_beard
from facegeom.texture.diffusion import diffused
from facegeom.texture.hair import hairy_vertices
from facegeom.texture.hair_growth import SkinView, hair_of_temples, hair_share
from facegeom.texture.head_classes import HeadClasses, lab, rgb
from facegeom.texture.occlusion import skin_shade

INNER = (
    0.5,
    0.75,
)  # cosines between normal and line of sight: skin counts as inner skin from the first, fully from the second
INNER_MM2 = 500.0  # diffusion time of the colours of the inner skin, mm^2
LEAST_INNER = 1e-3  # share of inner skin below which its colour is the median of the face
SHOWN_MM2 = 16.0  # diffusion time of the colours that are compared with it
DOUBT_MM2, LEAST_SHOWN = (
    30.0,
    0.05,
)  # diffusion time of the doubts, mm^2; share of seen skin nearby from which they count
DARKER, BRIGHTER, COLOUR = (4.0, 9.0), (14.0, 26.0), (6.0, 12.0)
"""Differences from the inner skin (L*, L*, and a* with b*): trusted below the first, not at all above the second."""
SIDES_MM, JAW_MM, FOREHEAD_MM = (36.0, 50.0), (-66.0, -84.0), (44.0, 58.0)
"""|x|, y and y on the mean face: all skin is trusted before the first, and `skin_trust` decides beyond the second."""
CHIN = (0.5, 0.75)  # cosines from which, and from which fully, the jaw is trusted: a dark chin has stubble, no shadow

NEAR_MM2, AROUND_MM2 = 60.0, 900.0  # diffusion times of the skin near known skin, and far from it, mm^2
FAR_SHARE = 0.03  # share of known skin nearby below which the skin around takes over
NEAR_LIMITS, FAR_LIMITS = (14.0, 6.0), (35.0, 8.0)
"""Largest differences (L*, and a* with b*) of skin near known skin from that around, and of that from the median of the
face: a highlight or a shadow at the border of what is known does not go on over the side of the head."""
BETWEEN = (0.4, 0.75)  # shares of known skin nearby from which, and from which fully, these limits do not apply
LEAST_SHADE = 0.7  # factor of the occlusion below which the colour of skin does not go on
LEAST_HEAT = 1e-3  # share of known skin around below which it is the median of the face
BEARD_MM2, BEARD_SHARE = 100.0, 0.1
"""Diffusion time of a beard beyond what the photo shows of it, mm^2, and share of such places below which it fades."""
BEARD_FACING = (
    0.0,
    0.15,
)  # cosines to the line of sight from which, and from which fully, a photo shows where it grows
HAIR_MM2, HAIR_SHARE = 150.0, 0.05  # the same for hair
HAIR_LIMITS = (8.0, 5.0)  # largest differences of its colour from the median: hair of a temple may shine
FAR_HAIR_MM2, FAR_HAIR_SHARE = 2000.0, 0.02  # the same for hair farther away, and last its median colour
BALD = 0.2  # least share of skin on the scalp that faces the camera of a bald head
BROW_PERCENTILE = 25.0  # percentile of the brightness of the brows that is the colour of hair that no photo shows
BROW_SHARE = 0.45  # share of hair in the colour of brows; the rest is skin
LEAST_LIGHT = 0.2  # least brightness of such hair relative to the skin
BROW_CHROMA = (0.15, 0.6)  # limits of its saturation (chroma over L*), of the hue of the skin, relative to the skin
LEAST_BROWS = 10  # minimum number of visible vertices of brows from which their colour is measured
USUAL_HAIR = (0.34, 0.30, 0.28)  # colour of hair relative to the skin, if the photo shows neither hair nor brows
LEAST_BOTH = 1e-2  # share of vertices nearby that are known on both sides below which this difference fades away
CHANGE_TIME_MM2 = 150.0  # diffusion time in mm^2 of the colour difference between the left and the right side


class Known(NamedTuple):
    """Known colours of the coarse skin, from both sides of the head.

    Attributes
    ----------
    colors : (s, 3) float array in [0, 255]
    weight : (s,) float array in [0, 1]
    hair : (s,) bool array, vertices whose colour is that of hair
    change : (s, 3) float array, what is added to a colour of the other side
    """

    colors: FloatArray
    weight: FloatArray
    hair: BoolArray
    change: FloatArray


class Continued(NamedTuple):
    """Colours of the coarse skin that go on from known ones.

    Attributes
    ----------
    skin, hair : (s, 3) float arrays in [0, 255], colours of skin without hair, and of the hair
    growing : (s,) float array in [0, 1], share of hair
    """

    skin: FloatArray
    hair: FloatArray
    growing: FloatArray

    @property
    def colors(self) -> FloatArray:
        """The mixed colours, (s, 3) in [0, 255]."""
        return self.skin + self.growing[:, None] * (self.hair - self.skin)


def skin_trust(template: Template, view: View, skin_seen: BoolArray, beard: FloatArray | float = 0.0) -> FloatArray:
    """Return how far the colours of seen skin are those of the person's skin, (s,) in [0, 1], at coarse vertices.

    A beard is trusted like skin.

    Parameters
    ----------
    template : Template
    view : View of the fine vertices of the template
    skin_seen : (s,) bool array, vertices of the coarse skin at which the photo shows skin
    beard : (s,) float array in [0, 1], share of a beard, see `full_beard`
    """
    kept = coarse_rows(template, view)
    colors, facing = view.colors[kept], view.facing[kept]
    border, jaw = _border_zones(template)
    zone = np.maximum(border, jaw * (1.0 - _ramp(facing, *CHIN)))
    if not skin_seen.any():
        return np.ones(len(colors))
    seen = lab(colors[None])[0]
    plain = skin_seen & ~_features(template)
    inner = plain * np.clip((facing - INNER[0]) / (INNER[1] - INNER[0]), 0.0, 1.0)
    if not inner.any():
        return np.ones(len(colors))
    middle = _median(seen.astype(np.float64), inner)
    usual = _mean_around(template, seen, inner, INNER_MM2, middle, LEAST_INNER)
    shown = _mean_around(template, seen, plain.astype(np.float64), SHOWN_MM2, middle, 1e-6)
    light = shown[:, 0] - usual[:, 0]
    colour = np.hypot(*(shown - usual)[:, 1:].T)
    worst = np.max([_ramp(-light, *DARKER), _ramp(light, *BRIGHTER), _ramp(colour, *COLOUR)], axis=0)
    heat = diffused(template, np.column_stack([worst * skin_seen, skin_seen]), DOUBT_MM2)
    doubt = heat[:, 0] / np.maximum(heat[:, 1], LEAST_SHOWN)
    return np.asarray(1.0 - zone * np.clip(doubt, 0.0, 1.0) * (1.0 - beard))


def continued_colors(
    template: Template,
    view: View,
    classes: HeadClasses,
    shown: Known,
    growing: FloatArray,
) -> Continued:
    """Extend known colours over the coarse skin.

    Near known skin, the result has its mean colour; farther away, that of the skin around, and last the median of the
    face; the hollows of the ears are darker, see `skin_shade`. Hair has the colours of the hair nearby, and farther
    away its median.

    Parameters
    ----------
    template : Template
    view : View of the fine vertices of the template
    classes : HeadClasses of the photo
    shown : Known
    growing : (s,) float array in [0, 1], how much hair grows at each vertex, see `growing_hair`
    """
    coarse = template.coarse
    count = coarse.skin_count
    values, known, hair_seen, _ = shown
    face = coarse.regions["face"][:count]
    tone = _median(values[face], known[face])
    shade = skin_shade(template, tone)
    sure = known * ~hair_seen * ~_features(template) * (shade.min(axis=1) > LEAST_SHADE)
    open_skin = values / np.maximum(shade, LEAST_SHADE)  # its colour without occlusion
    beard = full_beard(template, view, classes)
    shaven = sure * (1.0 - beard)
    around = like_tone(_mean_around(template, open_skin, shaven, AROUND_MM2, tone, LEAST_HEAT), tone, *FAR_LIMITS)
    near, share = _mean_and_share(template, open_skin, shaven, NEAR_MM2, around, FAR_SHARE)
    inside = _ramp(share, *BETWEEN)[:, None]  # a gap in known skin has its colour
    skin = shade * (inside * near + (1 - inside) * like_tone(near, around, *NEAR_LIMITS))
    if beard.any():
        outlined = _ramp(view.facing[:count], *BEARD_FACING) * (view.from_border[:count] > 0)
        heat = diffused(template, np.column_stack([outlined * beard, outlined]), BEARD_MM2)
        goes_on = np.clip(heat[:, 0] / np.maximum(heat[:, 1], BEARD_SHARE), 0.0, 1.0)[:, None]
        skin = skin + goes_on * (classes.beard_colour - skin)
    if not growing.any():
        return Continued(skin, skin, growing)
    hair = hair_color(template, classes, values, known, tone)
    shown_hair = known * hair_seen
    hair_around = _mean_around(template, values, shown_hair, FAR_HAIR_MM2, hair, FAR_HAIR_SHARE)
    of_hair = _mean_around(template, values, shown_hair, HAIR_MM2, hair_around, HAIR_SHARE)
    of_hair = like_tone(of_hair, hair, *HAIR_LIMITS)
    return Continued(skin, of_hair, growing)


def growing_hair(template: Template, view: View, classes: HeadClasses, raised: BoolArray | None = None) -> FloatArray:
    """Return how much hair grows at each vertex of the coarse skin, (s,) in [0, 1]; 0 everywhere on a bald head.

    Parameters
    ----------
    template, view, classes : as in `continued_colors`
    raised : (n,) bool array, coarse vertices that are hair as shape
    """
    if not hairy_vertices(template).any():  # a face without its head
        return np.zeros(template.coarse.skin_count)
    seen = SkinView.of_view(template, view, classes)
    if classes.hair is None and seen.hair_and_skin(template)[1].sum() > BALD * seen.scalp(template).sum():
        return np.zeros(template.coarse.skin_count)
    temples = hair_of_temples(template, seen)
    return hair_share(template, seen, temples if raised is None else temples | raised)


def hair_color(
    template: Template, classes: HeadClasses, values: FloatArray, known: FloatArray, tone: FloatArray
) -> FloatArray:
    """Return the colour (3,) of the hair on the scalp of a head that is not bald.

    Hair that no photo shows, below a hat or outside the photo, has the colour of the brows.
    """
    if classes.hair is not None:
        return classes.hair
    regions = template.coarse.regions
    brows = (regions["brow_left"] | regions["brow_right"])[: len(values)] & (known > 0.5)
    if brows.sum() < LEAST_BROWS:
        return np.asarray(tone * USUAL_HAIR)
    shown = values[brows]
    gray = shown.sum(axis=1)
    darkest = shown[gray <= np.percentile(gray, BROW_PERCENTILE)].mean(axis=0)
    found = np.clip(tone + (darkest - tone) / BROW_SHARE, LEAST_LIGHT * tone, None)
    light, *hue = lab(found[None, None])[0, 0]  # what was extrapolated may have any hue, such as blue or green
    usual = lab(tone[None, None])[0, 0]
    chroma = float(np.hypot(*usual[1:]))
    share = float(usual[1:] @ hue) / max(chroma, 1e-3) ** 2 / max(float(light / usual[0]), 1e-3)
    hue = np.clip(share, *BROW_CHROMA) * (light / max(float(usual[0]), 1e-3)) * usual[1:]
    return np.asarray(rgb(np.append(light, hue)[None, None].astype(np.float32))[0, 0], np.float64)


def vertex_colors(template: Template, view: View, classes: HeadClasses, raised: BoolArray | None = None) -> FloatArray:
    """Return colours of the fine vertices, (n, 3) in [0, 255]; visible vertices have the colours of the photo.

    A hidden vertex of the skin gets the colour of the mirrored vertex, corrected by the colour difference of both sides
    nearby. If the mirrored vertex is hidden too, the colour comes from `continued_colors`. Vertices whose pixels show
    neither skin nor, on the scalp, hair count as hidden, and so do those whose colours `skin_trust` refuses.
    `raised` (n,) are the coarse vertices that are hair as shape.
    """
    fine = template.fine
    kept = coarse_rows(template, view)
    found = classes.at(view.place)
    scalp = fine.regions.get("scalp", np.zeros(len(found), np.bool_))
    if raised is not None:
        scalp = scalp | (template.carry(raised.astype(np.float64)) > OWN)
    hairy = scalp & (found[:, 1] > OWN)
    all_seen = view.seen * ((found[:, 0] > OWN) | hairy)
    trusted = skin_trust(template, view, (all_seen[kept] > 0) & ~hairy[kept], full_beard(template, view, classes))
    carried = template.carry(np.concatenate([trusted, np.ones(len(template.vertices) - len(trusted))])[:, None])[:, 0]
    all_seen = all_seen * np.where(hairy, 1.0, np.clip(carried, 0.0, 1.0))
    shown = from_both_sides(template, view.colors[kept], all_seen[kept], hairy[kept], all_seen[kept])
    growing = growing_hair(template, view, classes, raised)
    around = continued_colors(template, view, classes, shown, growing).colors
    around = shown.weight[:, None] * shown.colors + (1 - shown.weight[:, None]) * around
    filled = template.carry(np.concatenate([around, behind_colors(template, view)]))
    own = np.where(np.arange(len(filled)) < fine.skin_count, all_seen, 0.0)[:, None]
    return np.asarray(np.clip(own * view.colors + (1 - own) * filled, 0.0, 255.0))


def from_both_sides(
    template: Template, values: FloatArray, known: FloatArray, hair: BoolArray, of_photo: FloatArray
) -> Known:
    """Return known colours, and those of the other side of the head where it is known better.

    Colours of the other side are corrected by the difference of both sides nearby, where the photo shows both; farther
    away, they are the same.

    Parameters
    ----------
    template : Template
    values : (s, 3) float array, colours of the coarse skin in [0, 255]
    known : (s,) float array in [0, 1], weight of each colour
    hair : (s,) bool array, vertices whose colour is that of hair
    of_photo : (s,) float array in [0, 1], weight of the photo in each colour, at most `known`
    """
    mirror = template.coarse.mirror[: len(values)]
    other, other_known = values[mirror], known[mirror]
    both = (of_photo * of_photo[mirror] * (hair == hair[mirror]))[:, None]
    heat = diffused(template, np.hstack([both * (values - other), both]), CHANGE_TIME_MM2)
    change = heat[:, :3] / np.maximum(heat[:, 3:4], LEAST_BOTH)
    own: BoolArray = known >= other_known
    return Known(
        np.where(own[:, None], values, np.clip(other + change, 0.0, 255.0)),
        np.maximum(known, other_known),
        np.where(own, hair, hair[mirror]),
        change,
    )


def like_tone(colors: FloatArray, tone: FloatArray, light: float, hue: float) -> FloatArray:
    """Return colours (s, 3) that differ less from others (s, 3) or (3,) than `light` (L*) and `hue` (a* with b*).

    Small differences hardly change; large ones approach these limits as the hyperbolic tangent does. Light and hue
    change alike: a highlight is also less colourful.
    """
    middle = lab(np.atleast_2d(tone)[None])[0]
    change = lab(colors[None])[0] - middle
    size = np.maximum(np.abs(change[:, 0]) / light, np.hypot(*change[:, 1:].T) / hue)[:, None]
    found = middle + change * np.tanh(size) / np.maximum(size, 1e-6)
    return np.asarray(rgb(found[None].astype(np.float32))[0], np.float64)


def coarse_rows(template: Template, view: View) -> slice:
    """Return the rows of a view that are the vertices of the coarse skin: the first of the fine vertices."""
    return slice(0, template.coarse.skin_count)


def _mean_around(
    template: Template,
    values: FloatArray | Float32Array,
    weight: FloatArray,
    time: float,
    prior: FloatArray,
    least: float,
) -> FloatArray:
    """Return the weighted mean (s, 3) of values (s, 3) around each vertex, and `prior` far from all weights (s,)."""
    return _mean_and_share(template, values, weight, time, prior, least)[0]


def _mean_and_share(
    template: Template,
    values: FloatArray | Float32Array,
    weight: FloatArray,
    time: float,
    prior: FloatArray,
    least: float,
) -> tuple[FloatArray, FloatArray]:
    """Return `_mean_around`, and the mean (s,) of the weights around each vertex."""
    heat = diffused(template, np.column_stack([weight[:, None] * values, weight]), time)
    share = np.maximum(heat[:, 3:], 0.0)
    return np.asarray((heat[:, :3] + least * prior) / (share + least)), share[:, 0]


def _median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the median colour (3,) of the colours `values` (n, 3) whose weight is at least half of the maximum."""
    return np.asarray(np.median(values[weights >= 0.5 * weights.max()], axis=0))


def _ramp(values: FloatArray, zero: float, one: float) -> FloatArray:
    return np.asarray(np.clip((values - zero) / (one - zero), 0.0, 1.0))


@load_once(maxsize=2)
def _border_zones(template: Template) -> tuple[FloatArray, FloatArray]:
    """Return where seen skin is compared with the skin further inside, (s,) in [0, 1]: at temples, cheeks and forehead,
    and at the jaw."""
    x, y, _ = load_face_model().mean[template.vertices][: template.coarse.skin_count].T
    border = np.maximum(_ramp(np.abs(x), *SIDES_MM), _ramp(y, *FOREHEAD_MM))
    return np.asarray(border), _ramp(-y, *(-limit for limit in JAW_MM))


@load_once(maxsize=2)
def _features(template: Template) -> BoolArray:
    """Return the vertices of the coarse skin with other colours than skin: brows, lids and lips, (s,)."""
    regions, skin = template.coarse.regions, template.coarse.skin_count
    names = [name for name in regions if name.startswith(("brow", "eyelids", "lip", "eye_rims"))]
    return np.asarray(np.any([regions[name][:skin] for name in names], axis=0))
