"""Options of the prediction of maps: crops, and thresholds above which a prediction is a face."""

from __future__ import annotations

from dataclasses import dataclass

from facegeom.images.crop import FIRST_CROP_FACTOR


@dataclass(frozen=True)
class MapOptions:
    """Options of the crops, and thresholds above which a prediction is accepted as a face."""

    first_crop: float = FIRST_CROP_FACTOR  # side length of the first crop / mean side of the detector's box
    passes: int = 2  # number of crops, all but the first aligned; the last is averaged with its mirror image
    stable_iou: float = 0.75  # minimum IoU of the last crop and the one that would follow; else one more pass follows
    kept_score: float = 0.5  # score of a later crop / score of the crop before, below which the crop before counts
    threshold: float = 0.5  # minimum probability of a pixel of the mask
    min_part_share: float = 0.1  # minimum area of a kept part of the mask, as a fraction of the largest part
    min_mask_share: float = 0.01  # minimum area of the mask of a face, as a fraction of the crop
    confidence_low: float = 0.76  # mean probability inside the mask that is mapped to certainty 0
    confidence_high: float = 0.94  # mean probability inside the mask that is mapped to certainty 1
    full_mask_share: float = 0.15  # mask area / crop area below which the score is reduced; profiles have 0.27
    misfit_mm: float = 10.0  # misfit in mm that halves the score; faces have 2 to 6, with yaw above 60 degrees up to 8
    upright_deg: float = 20.0  # largest roll of a face in a first crop that is not turned; training: 10
    aligned_deg: float = 1.5  # the same for later crops; standard deviation in training: 2
    contradiction_deg: float = 45.0  # roll of a face in its turned crop above which the two rolls contradict each other
    largest_rise: float = 0.1  # largest rise of the score of a detected face in its aligned crop; portraits: 0.04
    last_min_score: float = 0.58  # minimum score of the last pass for a face; pictures without a face have up to 0.55
    trusted_min_score: float = 0.45  # the same for trusted detections; portraits have at least 0.50, no face up to 0.44
    sure_score: float = 0.8  # score below which the face is also tried upside down; 16 % of portraits have less
    trusted_detection: float = 0.75  # score of the detector from which maps may be less plausible, or upside down
    clear_score: float = 0.62  # minimum score of the faces that come first, in the order of the detector
    box_min_score: float = 0.3  # minimum score of a face in a given box; the lowest of 199 validation portraits is 0.51
    fallback_min_score: float = 0.7  # minimum score of a face in a centre crop, if nothing is detected
    fallback_sides: tuple[float, ...] = (0.5, 0.3)  # sides of the centre boxes / shorter side of the photo
    duplicate_iou: float = 0.4  # two predictions whose mask boxes have a larger IoU show the same face
