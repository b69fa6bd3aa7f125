"""What each pixel around a head shows: skin, hair, or something else; and the colours of skin and hair in the photo."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom._internal.threads import load_once, one_thread
from facegeom.images.camera import Camera
from facegeom.images.crop import warp_image
from facegeom.images.sampling import looked_up
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.interface import SegmentationPredictor
from facegeom.networks.loaders import load_segmentation_network
from facegeom.networks.segmentation_crop import (
    BACKGROUND,
    CLASSES,
    COVER,
    EYEWEAR,
    FACIAL_HAIR,
    FRAME_MM,
    HEAD_HAIR,
    SKIN,
    head_affine,
)
from facegeom.texture.baking import fill_smoothly

SURE = 0.8  # probability of a class from which a pixel counts for the colour of the class
BALD_COLOUR, BALD_TEXTURE = 15.0, 0.06
"""Difference of a bald scalp from the skin nearby (CIE 1976, with `BALD_LIGHT` of the difference of L*), and standard
deviation of its brightness relative to its brightness; hair reaches at least one of them."""
BALD_LIGHT = 0.7
BALD_SUM = (0.95, 1.35)  # sums of both, relative to these limits, of a bald scalp and of hair
MOST_LEFT, SMOOTH = 0.6, 0.05  # largest share of such hair that remains on a bald head, and largest of its deviations
SAME_HUE = 6.0  # largest median difference of its a* and b* from the skin
GLARE = 22.0  # a smooth highlight on the forehead is at least so much lighter (L*) than hair at the outline of the head
LEAST_BALD = 0.26  # share of what is called hair below which hair like skin is hair in the light
PALE_HAIR, PALE_LIGHT = 0.65, 8.0
"""Saturation relative to the skin nearby below which hair is grey or white, if it is less than so much lighter (L*);
the lights on a bald scalp are lighter, and its shadows have the saturation of skin."""
JOINT = 2  # largest distance in pixels of a bald scalp from the skin that goes on into it
RIM = 5  # width in pixels of what is called hair beside a bald scalp below which it is the border of the scalp
LEAST_SKIN = 50  # minimum number of pixels that are surely skin with which hair is compared
NATURAL = (-8.0, -4.0)  # least a* and b* of hair below a hat; cloth below a hat may have others
SAME_CLOTH = 20.0  # difference (CIE 1976) between a hat and hair below which this is the hat in other light
HESITANT = (0.2, 0.4)  # shares of hair, in the sum of hair and cover, from which some and all of this sum is hair
HOLE = 13  # width in pixels of the widest such place between hair
FRAME = 1.5  # weight of the probability of glasses against that of skin; thin frames are uncertain
DARK_GLASSES = 0.5  # mean probability of glasses at the eyeballs from which the eyes cannot be seen
UNMIXED, LEAST_WITHIN = 2.5, 0.7
"""Distance in pixels from other classes at which hair is not mixed with them, and where no hair is so far from them,
distance relative to the largest."""
SKIN_HUE, SKIN_LIGHT, UNLIKE = 10.0, -15.0, (0.3, 0.6)
"""What is called hair may be skin up to the first difference (a* with b*) from the skin and above the second (L*); the
hair has the colour of the other pixels if their share lies in this range."""
GLARE_LIGHT = 15.0  # L* above that of the skin from which these pixels are the lights on a shaved head
STUBBLE = 0.75  # brightness of a shaved scalp relative to the skin
MARGIN = 5  # width in pixels of the margin, 4 mm on each side, in which pixels of two classes may be mixed
LEAST_HAIR = 0.02  # smallest ratio of the pixels of hair to those of skin on a head with hair
LEAST_BELOW_HAT = 15  # smallest number of pixels of hair beside a hat from which it is the colour of the hair
NOSE, EYES = (
    8,
    -6,
)  # rows relative to the middle of the crop: hair counts for its colour above the first, hats above both
GREY_HAIR, GREY_LIGHT = 0.6, 30.0
"""Saturation (chroma over L*) of the least saturated hair relative to the skin, up to which hair is grey or white, and
least L* of such hair; the skin that shines through tints the rest of it."""
PALE_SHARES = (25.0, 50.0)  # percentiles of saturation up to which grey hair counts for its hue, and for its lightness
TINTED, LEAST_RED = (
    16.0,
    -1.0,
)  # chroma below which blue and green hair is lit by the sky or by leaves; its least a*
DARK_BEARD, LEAST_BEARD = 0.6, 100
"""L* of a beard relative to the skin, and its number of pixels, with which hair lighter than the skin is the lights on
a shaved head."""
CONTRAST, STRAND_SHARE = (0.04, 0.13), 0.8  # range of the contrast of strands, and painted share of that of the photo
SPOT_SHARE, SPOTS = 0.5, (0.002, 0.015)  # painted share of the contrast of spots on the skin, and its range
MAD_TO_DEVIATION = 1.4826  # ratio of standard to median absolute deviation of a normal distribution
LEAST_FULL_BEARD, BEARD_ROUGH = 350, 1.35
"""Number of pixels of a full beard, and the contrast of its brightness relative to that of the skin."""
WIDE = 1.25  # side of a wide crop relative to the usual one
BLEND = 10  # width in pixels of the blend between the two
GREY_SPREAD, GREY_SHARE = (
    6,
    0.98,
)  # a photo is grey if the channels of this share of its pixels differ by at most so much


@dataclass(frozen=True)
class HeadClasses:
    """The class of each pixel around a head in a photo.

    Attributes
    ----------
    image : (S, S, 3) uint8 array, the crop of the head
    probability : (S, S, 7) float32 array, probabilities of `CLASSES` in the crop
    affine : (2, 3) float array, from pixels of the photo to pixels of the crop
    eyewear : "keep": glasses count as skin; "remove": they cover it
    margin : width in pixels of the margin in which pixels of two classes may be mixed, odd
    """

    image: ByteArray
    probability: Float32Array
    affine: FloatArray
    eyewear: str = "keep"
    margin: int = MARGIN

    @cached_property
    def own(self) -> Float32Array:
        """Probabilities (S, S, 4): of skin and of head hair, low near other classes; of head hair anywhere near; of any
        of them, low near everything else. Facial hair counts as skin, and so do glasses that are kept.
        """
        skin = self.probability[..., [SKIN, FACIAL_HAIR]].sum(axis=-1)
        worn = self.probability[..., EYEWEAR]
        skin = skin + worn if self.eyewear == "keep" else np.maximum(skin - FRAME * worn, 0.0)
        both = np.stack([skin, self.probability[..., HEAD_HAIR]], axis=-1)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (self.margin, self.margin))
        inner, outer = cv2.erode(both, kernel), cv2.dilate(both[..., 1], kernel)
        return np.asarray(np.dstack([inner, outer, cv2.erode(both.sum(axis=-1), kernel)]), np.float32)

    def at(self, points: FloatArray | Float32Array) -> Float32Array:
        """Return `own` at pixels x, y (n, 2) of the photo, (n, 4); 0 outside the crop."""
        size = len(self.probability)
        if not len(points):
            return np.zeros((0, self.own.shape[2]), np.float32)
        place = np.asarray(points, np.float32) @ self.affine[:, :2].T.astype(np.float32)
        place += self.affine[:, 2].astype(np.float32)
        x, y = place.T
        inside: BoolArray = np.asarray((x >= 0) & (y >= 0) & (x <= size - 1) & (y <= size - 1))
        return np.asarray(looked_up(self.own, place) * inside[:, None], np.float32)

    @cached_property
    def hair(self) -> FloatArray | None:
        """Median colour (3,) of the hair, without what may be skin; None for a photo without hair."""
        shown, away, shaved = self._shown_hair
        if not len(shown):
            return None
        if shaved and self.skin is not None:
            return self.skin * STUBBLE
        shown = shown[away] if UNLIKE[0] < away.mean() < UNLIKE[1] else shown
        return np.asarray(np.median(shown, axis=0) if self.skin is None else pale_colour(shown, self.skin), np.float64)

    @cached_property
    def _upper(self) -> BoolArray:
        """The pixels (S, S) of the head above the tip of the nose, without other people and clothes."""
        person = self.probability[..., [SKIN, HEAD_HAIR, FACIAL_HAIR, EYEWEAR, COVER]].sum(axis=-1) > 0.5
        person[len(person) // 2 + NOSE :] = False
        labels = cv2.connectedComponents(person.astype(np.uint8), connectivity=4)[1]
        skin = np.bincount(labels[person & (self.probability[..., SKIN] > SURE)], minlength=1)
        return np.asarray(person & (labels == skin.argmax()), np.bool_)

    @cached_property
    def _shown_hair(self) -> tuple[ByteArray, BoolArray, bool]:
        """The pixels of hair (n, 3), those (n,) unlike skin, and whether these are the lights on a shaved head."""
        sure: BoolArray = np.asarray(self.probability > SURE)
        hair = sure[..., HEAD_HAIR] & self._upper
        if hair.sum() <= (LEAST_BELOW_HAT if self.hat else LEAST_HAIR * sure[..., SKIN].sum()):
            return np.zeros((0, 3), np.uint8), np.zeros(0, np.bool_), False
        within = cv2.distanceTransform(hair.astype(np.uint8), cv2.DIST_L2, 3)
        shown = self.image[within >= min(UNMIXED, LEAST_WITHIN * float(within.max()))]
        if self.skin is None:
            return shown, np.ones(len(shown), np.bool_), False
        light, *hue = (lab(shown[None])[0] - lab(self.skin[None, None])[0]).T
        away: BoolArray = np.asarray((np.hypot(*hue) > SKIN_HUE) | (light < SKIN_LIGHT))
        shaved = UNLIKE[0] < away.mean() < UNLIKE[1] and float(np.median(light[away])) > GLARE_LIGHT
        beard = sure[..., FACIAL_HAIR]
        if beard.sum() >= LEAST_BEARD and np.median(light) > 0:
            usual = lab(self.skin[None, None])[0, 0, 0]
            colourless = float(np.hypot(*np.median(lab(shown[None])[0, :, 1:], axis=0))) < TINTED
            shaved |= colourless and bool(np.median(lab(self.image)[beard, 0]) < DARK_BEARD * usual)
        return shown, away, shaved

    @cached_property
    def skin(self) -> FloatArray | None:
        """Median colour (3,) of the skin; None if there is none."""
        skin: BoolArray = np.asarray(self.probability[..., SKIN] > SURE)
        return np.asarray(np.median(self.image[skin], axis=0), np.float64) if skin.any() else None

    @cached_property
    def hair_contrast(self) -> float:
        """Robust standard deviation of the brightness of strands relative to that of the hair."""
        hair = cv2.erode((self.probability[..., HEAD_HAIR] > SURE).astype(np.uint8), _disc(self.margin)) > 0
        if not hair.any() or self._shown_hair[2]:
            return CONTRAST[0]
        grey, fine = self._detail
        deviation = MAD_TO_DEVIATION * float(np.median(np.abs(fine[hair])))
        return float(np.clip(STRAND_SHARE * deviation / (grey[hair].mean() + 8.0), *CONTRAST))

    def worn(self, points: FloatArray) -> FloatArray:
        """Return the probability of glasses at pixels x, y (n, 2) of the photo, (n,); clear lenses are no glasses."""
        return self._nearest(EYEWEAR, points)

    def facial_hair(self, points: FloatArray) -> FloatArray:
        """Return the probability of facial hair at pixels x, y (n, 2) of the photo, (n,)."""
        return self._nearest(FACIAL_HAIR, points)

    def _nearest(self, kind: int, points: FloatArray) -> FloatArray:
        place = np.asarray(points, np.float32) @ self.affine[:, :2].T.astype(np.float32)
        place += self.affine[:, 2].astype(np.float32)
        column, row = np.clip(np.rint(place), 0, len(self.probability) - 1).astype(np.int64).T
        return np.asarray(self.probability[row, column, kind], np.float64)

    @property
    def beard_colour(self) -> FloatArray:
        """Colour (3,) of the facial hair."""
        shown = self.image[self.probability[..., FACIAL_HAIR] > 0.5]
        return np.asarray(np.median(shown, axis=0) if self.skin is None else pale_colour(shown, self.skin), np.float64)

    @cached_property
    def rough_beard(self) -> bool:
        """Whether there is much facial hair that is rougher than the skin."""
        beard, skin = self.probability[..., FACIAL_HAIR] > 0.5, self.probability[..., SKIN] > SURE
        if beard.sum() < LEAST_FULL_BEARD or not skin.any():
            return False
        grey, fine = self._detail
        rough, smooth = (np.median(np.abs(fine[part])) / (grey[part].mean() + 8.0) for part in (beard, skin))
        return bool(rough > BEARD_ROUGH * smooth)

    @cached_property
    def skin_contrast(self) -> float:
        """Robust standard deviation of the brightness of spots on the skin relative to that of the skin."""
        skin = cv2.erode((self.probability[..., SKIN] > SURE).astype(np.uint8), _disc(self.margin)) > 0
        if not skin.any():
            return SPOTS[0]
        grey, fine = self._detail
        deviation = MAD_TO_DEVIATION * float(np.median(np.abs(fine[skin])))
        return float(np.clip(SPOT_SHARE * deviation / (grey[skin].mean() + 8.0), *SPOTS))

    @cached_property
    def _detail(self) -> tuple[FloatArray, FloatArray]:
        """Brightness (S, S) and its fine part."""
        grey = self.image @ np.array([0.299, 0.587, 0.114])
        return grey, grey - cv2.GaussianBlur(grey, (0, 0), 3.0)

    def hidden_eyes(self, eyes: FloatArray) -> bool:
        """Return whether dark glasses hide the eyes: whether pixels x, y (n, 2) of the eyeballs show glasses."""
        return bool(self.worn(eyes).mean() > DARK_GLASSES)

    @property
    def hat(self) -> bool:
        """Whether something covers more of the head, above the eyes, than hair is seen."""
        sure: BoolArray = np.asarray(self.probability > SURE)
        hair = (sure[..., HEAD_HAIR] & self._upper).sum()
        return bool(self.worn_above.sum() > max(hair, LEAST_HAIR * sure[..., SKIN].sum()))

    @property
    def worn_above(self) -> BoolArray:
        """The pixels (S, S) of what covers the head above the eyes."""
        cover: BoolArray = np.asarray((self.probability[..., COVER] > SURE) & self._upper)
        cover[len(cover) // 2 + EYES :] = False
        return cover


@load_once(maxsize=2)
def segmentation_network(backend: str) -> SegmentationPredictor:
    """Return the segmentation network that comes with facegeom, on the CPU; it is loaded once per process."""
    return load_segmentation_network(backend=backend)


@one_thread()
def head_classes(
    photo: ByteArray,
    camera: Camera,
    *,
    network: SegmentationPredictor | None = None,
    backend: str = DEFAULT_BACKEND,
    eyewear: str = "keep",
    wide: bool = False,
) -> HeadClasses:
    """Return the classes of the pixels around a head.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    camera : Camera, projection from the face frame to the photo
    network : SegmentationPredictor; None: the network that comes with facegeom
    backend : "torch" or "onnx", in which the network that comes with facegeom runs
    eyewear : "keep" or "remove", as in `HeadClasses`
    wide : True: a crop of 350 instead of 280 mm, with room for the outline of the hair. The network sees the crop of
        280 mm, and the larger one at the same number of pixels; what the first shows comes from the first.

    Raises
    ------
    WeightsError
        When the network's weights are missing.
    """
    network = network or segmentation_network(backend)
    pose = (camera.rotation, camera.scale, camera.translation)
    affine = head_affine(*pose, network.size)
    crops = [warp_image(photo, affine, network.size)]
    if wide:
        crops.append(warp_image(photo, head_affine(*pose, network.size, WIDE * FRAME_MM), network.size))
    found = network.predict(np.stack(crops))
    image, probability = crops[0], found[0]
    if wide:
        size = round(WIDE * network.size)
        probability = _framed(cv2.resize(found[1], (size, size), interpolation=cv2.INTER_LINEAR), probability)
        affine = head_affine(*pose, size, WIDE * FRAME_MM)
        image = warp_image(photo, affine, size)
    height, width = photo.shape[:2]
    inside = warp_image(np.full((height, width, 3), 255, np.uint8), affine, len(image))[..., 0] > 127
    nothing = np.eye(len(CLASSES), dtype=np.float32)[BACKGROUND]
    probability = np.where(inside[..., None], with_bald_scalp(image, probability), nothing)
    return HeadClasses(image, with_whole_hair(with_cloth(image, probability)), affine, eyewear)


def with_bald_scalp(image: ByteArray, probability: Float32Array) -> Float32Array:
    """Return probabilities (S, S, 7) in which hair that looks like the skin nearby is skin.

    The network takes the top of bald heads for hair. Hair differs from skin in its colour or in its texture. A bald
    scalp goes on from the forehead; highlights that hair surrounds are hair, and so are places in a head full of hair.
    """
    own: BoolArray = np.asarray(probability[..., SKIN] + probability[..., HEAD_HAIR] > 0.5)
    inner: BoolArray = np.asarray(cv2.erode(own.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)  # not mixed
    skin: BoolArray = np.asarray(inner & (probability[..., SKIN] > SURE))
    if skin.sum() < LEAST_SKIN:
        return probability
    colours = lab(_blurred(image.astype(np.float32), inner, 1.0))
    usual = fill_smoothly(colours, skin)
    pale = (saturation(colours) < PALE_HAIR * saturation(usual)) & (colours[..., 0] < usual[..., 0] + PALE_LIGHT)
    change = (colours - usual) * np.array([BALD_LIGHT, 1, 1], np.float32)
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)[..., None]
    fine = _blurred((grey - _blurred(grey, inner, 2.0)) ** 2, inner, 2.5)
    rough = (np.sqrt(fine) / (_blurred(grey, inner, 2.5) + 8.0))[..., 0]
    total = np.linalg.norm(change, axis=-1) / BALD_COLOUR + rough / BALD_TEXTURE
    share = np.clip((BALD_SUM[1] - total) / (BALD_SUM[1] - BALD_SUM[0]), 0.0, 1.0)
    share[pale] = 0.0
    hair = probability[..., HEAD_HAIR] > SURE
    left = hair & (share < 0.5)
    if left.any() and left.sum() < MOST_LEFT * hair.sum() and np.median(rough[left]) < SMOOTH:
        hues = np.linalg.norm(change[left, 1:], axis=-1)
        if np.median(hues) < SAME_HUE:
            share[:] = 1.0  # the rest is the same scalp in other light
    outside = (~own).astype(np.uint8)
    edge = hair & (cv2.dilate(outside, _disc(2 * RIM + 1)) > 0) & (cv2.dilate(outside, _disc(3)) == 0)
    if edge.sum() >= LEAST_SKIN:
        lighter = colours[..., 0] > float(np.median(colours[edge, 0])) + GLARE
        share[lighter & (change[..., 0] > 0) & (rough < SMOOTH)] = 1.0
    share[pale] = 0.0
    bald: BoolArray = np.asarray(own & (share > 0.5) & _joined(skin, own & (share > 0.5)))
    rest = (own & ~bald & (probability[..., HEAD_HAIR] > 0.5)).astype(np.uint8)
    narrow = (cv2.morphologyEx(rest, cv2.MORPH_OPEN, _disc(RIM)) == 0) & (rest > 0)
    rim = narrow & (cv2.dilate((bald & (probability[..., HEAD_HAIR] > 0.5)).astype(np.uint8), _disc(2 * RIM + 1)) > 0)
    share = np.where(rim, 1.0, share * (cv2.dilate(bald.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0))
    share *= probability[..., HEAD_HAIR]
    if share.sum() < LEAST_BALD * probability[own, HEAD_HAIR].sum():
        return probability
    out = probability.copy()
    out[..., HEAD_HAIR] -= share
    out[..., SKIN] += share
    return np.asarray(out, np.float32)


def _joined(skin: BoolArray, part: BoolArray) -> BoolArray:
    """Return the pixels (S, S) of the area of skin and `part` with most skin, and those up to `JOINT` pixels away."""
    kernel = np.ones((2 * JOINT + 1, 2 * JOINT + 1), np.uint8)
    labels = cv2.connectedComponents(cv2.dilate((skin | part).astype(np.uint8), kernel), connectivity=4)[1]
    return np.asarray(labels == np.bincount(labels[skin]).argmax(), np.bool_)


def _disc(size: int) -> ByteArray:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _blurred(values: Float32Array, inside: BoolArray, sigma: float) -> Float32Array:
    """Return the Gaussian means (S, S, k) of values (S, S, k) over pixels of a mask (S, S)."""
    weight = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), sigma)
    total = cv2.GaussianBlur(values * inside[..., None], (0, 0), sigma).reshape(values.shape)
    return np.asarray(total / np.maximum(weight, 1e-3)[..., None], np.float32)


def with_cloth(image: ByteArray, probability: Float32Array) -> Float32Array:
    """Return probabilities (S, S, 7) in which hair below a hat is cover if its colour is none of hair, or the hat's."""
    found = HeadClasses(image, probability, np.eye(2, 3))
    if not found.hat or found.hair is None:
        return probability
    hair = lab(found.hair[None, None])[0, 0]
    cover = np.median(lab(image)[found.worn_above], axis=0)
    if (hair[1:] >= NATURAL).all() and np.linalg.norm(hair - cover) > SAME_CLOTH:
        return probability
    out = probability.copy()
    out[..., COVER] += out[..., HEAD_HAIR]
    out[..., HEAD_HAIR] = 0.0
    return np.asarray(out, np.float32)


def with_whole_hair(probability: Float32Array) -> Float32Array:
    """Return probabilities (S, S, 7) in which cover between hair is hair where the network hesitates between both.

    Such places, often highlights or dark strands, would be holes in the hair. Nothing changes on a head with a hat.
    """
    if HeadClasses(np.zeros((*probability.shape[:2], 3), np.uint8), probability, np.eye(2, 3)).hat:
        return probability
    hair, cover = probability[..., HEAD_HAIR], probability[..., COVER]
    between = cv2.morphologyEx((hair > 0.5).astype(np.uint8), cv2.MORPH_CLOSE, _disc(HOLE))
    share = (hair / np.maximum(hair + cover, 1e-6) - HESITANT[0]) / (HESITANT[1] - HESITANT[0])
    moved = cover * np.clip(share, 0.0, 1.0) * between
    out = probability.copy()
    out[..., HEAD_HAIR] += moved
    out[..., COVER] -= moved
    return out


def _framed(outer: Float32Array, inner: Float32Array) -> Float32Array:
    """Return probabilities (S, S, c) in whose middle those of a smaller crop (s, s, c) replace them softly."""
    start, size = (len(outer) - len(inner)) // 2, len(inner)
    ramp = np.clip((np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5) / BLEND, 0, 1)
    share = np.minimum(ramp[:, None], ramp)[..., None].astype(np.float32)
    out, middle = outer.copy(), slice(start, start + size)
    out[middle, middle] = share * inner + (1 - share) * out[middle, middle]
    return out


def pale_colour(hair: ByteArray, skin: FloatArray) -> FloatArray:
    """Return the colour (3,) of hair from its pixels (n, 3): their median, but that of the palest ones of grey hair.

    Skin shines through thin grey or white hair, and lights it; the sky makes dark hair a little blue.
    """
    values, usual = lab(hair[None])[0], lab(skin[None, None])[0, 0]
    middle = np.asarray(np.median(hair, axis=0), np.float64)
    found = lab(middle[None, None])[0, 0]
    pale = saturation(values)
    hue, light = (pale <= np.percentile(pale, share) for share in PALE_SHARES)
    limit = GREY_HAIR * float(saturation(usual))
    grey = found[0] > GREY_LIGHT and float(np.median(pale[hue])) < limit
    if grey:
        found = np.append(np.median(values[light, 0]), np.median(values[hue, 1:], axis=0))
    natural = np.maximum(found[1:], (LEAST_RED, 0.0))
    tinted = bool(np.hypot(*found[1:]) < TINTED and (natural > found[1:]).any())
    if tinted:
        found[1:] = natural
    elif not grey:
        return middle
    return np.asarray(rgb(found[None, None].astype(np.float32))[0, 0], np.float64)


def is_grey(image: ByteArray) -> bool:
    """Return whether an image (h, w, 3) has no colours."""
    spread = image.max(axis=2).astype(np.int64) - image.min(axis=2)
    return bool((spread <= GREY_SPREAD).mean() >= GREY_SHARE)


def without_colour(colours: ByteArray) -> ByteArray:
    """Return colours (..., 3) uint8 as grey levels of the same luma (ITU-R BT.601)."""
    grey = np.rint(colours @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def lab(colours: ByteArray | Float32Array | FloatArray) -> Float32Array:
    """Return the colours (h, w, 3), RGB in [0, 255], in CIELAB."""
    return np.asarray(cv2.cvtColor(np.asarray(colours, np.float32) / np.float32(255), cv2.COLOR_RGB2LAB))


def saturation(colours: Float32Array) -> Float32Array:
    """Return chroma over L* (...) of colours (..., 3) in CIELAB: light and shadow hardly change it."""
    return np.asarray(np.hypot(colours[..., 1], colours[..., 2]) / np.maximum(colours[..., 0], np.float32(1)))


def rgb(colours: Float32Array) -> Float32Array:
    """Return the colours (h, w, 3), CIELAB, as RGB in [0, 255]."""
    return np.asarray(cv2.cvtColor(np.asarray(colours, np.float32), cv2.COLOR_LAB2RGB)) * np.float32(255)
