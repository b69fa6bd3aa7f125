"""The exceptions that facegeom raises beside ValueError and TypeError."""


class FacegeomError(Exception):
    """Base of every error that is facegeom's own."""


class NoFaceFound(FacegeomError):
    """The image holds no face that the detector and the network agree on."""


class ImageError(FacegeomError):
    """The input cannot be read as an image, or is too small to hold a face."""


class WeightsError(FacegeomError):
    """A weight file or the face model is missing, damaged or of another version."""


class SolverError(FacegeomError):
    """A linear solve failed or did not reach its tolerance."""
