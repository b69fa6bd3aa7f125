"""`Motion`, the curves of a face over time: pose, camera and weights of each frame."""

from __future__ import annotations

from dataclasses import dataclass

from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom.face_model.blendshapes import ARKIT_NAMES
from facegeom.images.camera import Camera, Pose


@dataclass(frozen=True, eq=False, repr=False)
class Motion:
    """The curves of a face in n frames.

    Attributes
    ----------
    times : (n,) float array, seconds since the first frame
    weights : (n, 52) float array
        Weights of ARKit's blendshapes, in the order of `names`.
    rotations : (n, 3, 3) float array, face frame to camera frame
    scales : (n,) float array, pixels of the frame per mm
    translations : (n, 2) float array, pixels of the frame to which the origin of the face frame projects
    seen : (n,) bool array
        Frames in which a face was found; in others, the curves are interpolated.
    fps : nominal frame rate of the video; `times` may differ from it
    size : width and height of the frames, pixels
    """

    times: FloatArray
    weights: FloatArray
    rotations: FloatArray
    scales: FloatArray
    translations: FloatArray
    seen: BoolArray
    fps: float
    size: tuple[int, int]

    @property
    def names(self) -> tuple[str, ...]:
        """ARKit's names of the blendshapes, in the order of `weights`."""
        return tuple(ARKIT_NAMES)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.times)

    def camera(self, frame: int) -> Camera:
        """Return the projection from the face frame to pixels of a frame."""
        return Camera(self.rotations[frame], float(self.scales[frame]), self.translations[frame])

    def pose(self, frame: int) -> Pose:
        """Return yaw, pitch and roll of the face in a frame, degrees."""
        return self.camera(frame).pose

    def blendshapes(self, frame: int) -> dict[str, float]:
        """Return the weight of each of ARKit's blendshapes in a frame."""
        return dict(zip(self.names, self.weights[frame].tolist(), strict=True))
