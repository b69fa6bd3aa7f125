"""The exception classes of facegeom; for invalid arguments, facegeom raises ValueError or TypeError instead."""


class FacegeomError(Exception):
    """Base class of all exceptions of facegeom."""


class NoFaceFound(FacegeomError):
    """No face was found, or the predicted maps or mesh show too little of a face to reconstruct it."""


class ImageError(FacegeomError):
    """The input cannot be read as an image, or the image is too small to contain a face."""


class VideoError(FacegeomError):
    """The input cannot be read as a video, or contains no frames."""


class WeightsError(FacegeomError):
    """The file of a network's weights or of the face model is missing, damaged, or made for another version."""


class SolverError(FacegeomError):
    """The solution of a linear system failed or did not reach the tolerance."""


class OutputError(FacegeomError):
    """An output file would overwrite an input or another output, or cannot be written where it was asked for."""


class BatchError(FacegeomError):
    """A batch cannot go on: worker processes do not start, or a result cannot be written; it can be started again."""
