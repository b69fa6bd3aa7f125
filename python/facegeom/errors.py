"""The exceptions of facegeom; invalid arguments raise ValueError or TypeError instead."""


class FacegeomError(Exception):
    """Base class of all exceptions of facegeom."""


class NoFaceFound(FacegeomError):
    """The image contains no face that both the detector and the reconstruction network confirm."""


class ImageError(FacegeomError):
    """The input cannot be read as an image, or is too small to contain a face."""


class WeightsError(FacegeomError):
    """A weight file or the face model is missing, damaged, or belongs to another version."""


class SolverError(FacegeomError):
    """A linear solve failed or did not reach its tolerance."""
