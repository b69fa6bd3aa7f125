"""The interfaces of the trained networks: what the pipelines need of them, on NumPy arrays.

Each network has one implementation in PyTorch and one in ONNX Runtime; `facegeom.networks.loaders` loads them. This
module imports neither library.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray

MAP_UNIT_MM = 100.0  # unit of the maps inside the networks, mm

MESH_PIPELINES = ("pixel2mesh", "gcn_igan")
"""Names of the networks that deform the semi-sphere; each is also the name of its pipeline."""

LANDMARKS = 68  # number of landmarks


class NetworkMaps(NamedTuple):
    """Maps that a network predicts for b crops, as arrays in mm.

    Attributes
    ----------
    depth : (b, S, S) float32 array, mm in the camera frame
    correspondence : (b, S, S, 3) float32 array, mm: the position of each pixel on the mean face
    mask_probability : (b, S, S) float32 array, probability that a pixel shows the face
    position : (b, S, S, 2) float32 array or None
        x to the right and y up in the camera frame, mm from the face's origin. None if the network does not predict it.
    """

    depth: Float32Array
    correspondence: Float32Array
    mask_probability: Float32Array
    position: Float32Array | None = None


class MapNetwork(Protocol):
    """A network that predicts depth, correspondence and mask of crops, such as `networks.facevision.FaceVision`.

    Attributes
    ----------
    size : side length S of the crops in pixels
    """

    size: int

    def predict(self, crops: ByteArray, *, mirror: bool = True) -> NetworkMaps:
        """Predict the maps of crops.

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array
        mirror : True: average with the maps of the mirrored crop, mirrored back

        Raises
        ------
        ValueError
            When the crops have another shape or type.
        """


class MeshNetwork(Protocol):
    """A trained network that predicts face meshes from crops.

    Attributes
    ----------
    name : one of `MESH_PIPELINES`
    size : side length S of the crops in pixels
    needs_landmarks : whether `predict` needs landmarks

    Notes
    -----
    The side of a crop is 1.1 times the longer side of the face's bounding box. In the crop frame this side has length
    2: x to the right of the image, y up, z towards the camera, z = 0 at the mean depth of the face's surface. Column c
    and row r of a crop are at x = (2 c + 1) / S - 1, y = 1 - (2 r + 1) / S.
    """

    name: str
    size: int
    needs_landmarks: bool

    def predict(self, crops: ByteArray, landmarks: npt.NDArray[np.floating] | None = None) -> list[Float32Array]:
        """Predict the mesh after each of the four deformations.

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array
        landmarks : (b, 68, 3) float array in the crop frame if `needs_landmarks`, else None

        Returns
        -------
        list of four (b, n, 3) float32 arrays
            Vertices in the crop frame; the triangles are those of `semi_sphere().levels`.

        Raises
        ------
        ValueError
            If an array has another shape or type.
        """


class TextureNetwork(Protocol):
    """A trained network that completes textures, such as `networks.gated_inpainting.Inpainter`.

    Attributes
    ----------
    size : side S of the textures in texels
    region : (S, S) bool array, the part of the atlas that the network completes
    mean : (S, S, 3) uint8 array, mean of the training textures
    usual_hair : (S, S) float32 array in [0, 1], share of people with hair at each texel; None: the network does not
        know the classes of texels
    """

    size: int
    region: BoolArray
    mean: ByteArray
    usual_hair: Float32Array | None

    def predict(self, textures: ByteArray, known: BoolArray, hair: BoolArray | None = None) -> ByteArray:
        """Predict all texels, including known ones.

        Parameters
        ----------
        textures : (b, S, S, 3) uint8 array
        known : (b, S, S) bool array
        hair : (b, S, S) bool array
            Texels with hair, also of those that are not known; a network that does not know classes does not use it.

        Returns
        -------
        (b, S, S, 3) uint8 array

        Raises
        ------
        ValueError, TypeError
            When the arrays have another type or shape, or hair is missing.
        """


def check_crops(crops: ByteArray, size: int) -> None:
    """Check that crops are a uint8 array of shape (any, `size`, `size`, 3).

    Raises
    ------
    ValueError
        When they are not.
    """
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
        raise ValueError(f"crops must be uint8 of shape (any, {size}, {size}, 3), got {crops.dtype} {crops.shape}")


def check_mesh_input(
    network: MeshNetwork, crops: ByteArray, landmarks: npt.NDArray[np.floating] | None
) -> Float32Array | None:
    """Check the arguments of `MeshNetwork.predict`; return the landmarks, float32, or None.

    Raises
    ------
    ValueError
        If an array has another shape or type, or landmarks are missing or not wanted.
    """
    check_crops(crops, network.size)
    if not network.needs_landmarks:
        if landmarks is not None:
            raise ValueError(f"{network.name} takes no landmarks")
        return None
    if landmarks is None:
        raise ValueError(f"{network.name} needs landmarks")
    return check.float_array(landmarks, "landmarks", (len(crops), LANDMARKS, 3)).astype(np.float32)


def check_textures(textures: ByteArray, known: BoolArray, size: int) -> BoolArray:
    """Check textures (b, `size`, `size`, 3) uint8 and masks (b, `size`, `size`) bool; return the masks, contiguous.

    Raises
    ------
    ValueError, TypeError
        When the arrays have another type or shape.
    """
    if textures.dtype != np.uint8 or textures.ndim != 4 or textures.shape[1:] != (size, size, 3):
        raise ValueError(
            f"textures must be uint8 of shape (any, {size}, {size}, 3), got {textures.dtype} {textures.shape}"
        )
    return check.bool_array(known, "known", (len(textures), size, size))


class IdentityAnswer(NamedTuple):
    """Predicted identity of a face: a normal distribution of each coefficient.

    Attributes
    ----------
    mean : (k,) float array, standard deviations of the face model
    deviation : (k,) float array, standard deviation of the error, in the same unit
    points : (p, 2) float array or None
        Positions of the points `identity_crop.face_points` in the crop minus those of the frontal mean
        face, mm, y down.
    """

    mean: FloatArray
    deviation: FloatArray
    points: FloatArray | None = None


class IdentityPredictor(Protocol):
    """A network that predicts the identity of a face from its aligned crop, such as `networks.identity.Identity`.

    Attributes
    ----------
    size : side length S of the crops in pixels
    """

    @property
    def size(self) -> int: ...

    def predict(self, crops: ByteArray, *, mirror: bool = True) -> list[IdentityAnswer]:
        """Predict the identity in each aligned crop.

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array, RGB, made with `networks.identity_crop.aligned_affine`
        mirror : True: average with the prediction for the mirrored crop, mirrored back

        Raises
        ------
        ValueError
            When the crops have another shape or type.
        """


class ContourAnswer(NamedTuple):
    """Predicted contours of the eyes and the lips of a face.

    Attributes
    ----------
    places : (72, 2) float array
        The points of `face_model.fitting.CONTOURS`, mm from the centre of the crop of each contour, x right, y down.
    deviation : (3,) float array
        Standard deviation, mm, of a point relative to the mean of its contour: right eye, left eye, lips.
    """

    places: FloatArray
    deviation: FloatArray


class ContourPredictor(Protocol):
    """A network that predicts the contours of the eyes and the lips, such as `networks.contours.ContourFinder`.

    Attributes
    ----------
    size : side length S of the crops in pixels
    """

    @property
    def size(self) -> int: ...

    def predict(self, crops: ByteArray) -> list[ContourAnswer]:
        """Predict the contours of each face.

        Parameters
        ----------
        crops : (b, 3, S, S, 3) uint8 array, RGB
            The crops of `networks.contour_crop.contour_affines`.

        Raises
        ------
        ValueError
            When the crops have another shape or type.
        """


def check_contour_crops(crops: ByteArray, size: int) -> None:
    """Check that crops are a uint8 array of shape (any, 3, `size`, `size`, 3).

    Raises
    ------
    ValueError
        When they are not.
    """
    if crops.dtype != np.uint8 or crops.ndim != 5 or crops.shape[1:] != (3, size, size, 3):
        raise ValueError(f"crops must be uint8 of shape (any, 3, {size}, {size}, 3), got {crops.dtype} {crops.shape}")


class SegmentationPredictor(Protocol):
    """A network that predicts the class of each pixel around a head, such as `networks.segmentation.Segmentation`.

    Attributes
    ----------
    size : side length S of the crops in pixels
    """

    @property
    def size(self) -> int: ...

    def predict(self, crops: ByteArray) -> Float32Array:
        """Predict the probabilities of `networks.segmentation_crop.CLASSES` in each crop, (b, S, S, 7).

        Parameters
        ----------
        crops : (b, S, S, 3) uint8 array, RGB, made with `networks.segmentation_crop.head_affine`

        Raises
        ------
        ValueError
            When the crops have another shape or type.
        """


class DenoisingNetwork(Protocol):
    """A network that removes the noise of images, such as `networks.denoising.denoiser.Denoiser`."""

    def predict(self, images: ByteArray) -> ByteArray:
        """Remove the noise of images.

        Parameters
        ----------
        images : (b, h, w, 3) uint8 array, RGB; h and w are multiples of `DENOISER_STEP`

        Returns
        -------
        (b, h, w, 3) uint8 array

        Raises
        ------
        ValueError, TypeError
            When the images have another shape or type.
        """


DENOISER_STEP = 16
"""Sides of the images of a `DenoisingNetwork` are multiples of this number of pixels."""


def check_noisy_images(images: ByteArray) -> ByteArray:
    """Check that images are a uint8 array of shape (any, h, w, 3), h and w multiples of `DENOISER_STEP`; return them.

    Raises
    ------
    ValueError, TypeError
        When they are not.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise TypeError(f"images must be uint8, got {images.dtype}")
    step = DENOISER_STEP
    if images.ndim != 4 or images.shape[3] != 3 or images.shape[1] % step or images.shape[2] % step:
        raise ValueError(f"images must have shape (b, h, w, 3) with multiples of {step}, got {images.shape}")
    return images
