"""Loaders of the networks that come with facegeom, in PyTorch or in ONNX Runtime.

A library is imported only when a network is loaded in it.
"""

from __future__ import annotations

import os

from facegeom._internal import check
from facegeom._internal.threads import one_thread
from facegeom.networks.backends import DEFAULT_BACKEND, check_backend
from facegeom.networks.interface import (
    MESH_PIPELINES,
    ContourPredictor,
    DenoisingNetwork,
    IdentityPredictor,
    MapNetwork,
    MeshNetwork,
    SegmentationPredictor,
    TextureNetwork,
)


def load_map_network(device: str = "cpu", backend: str = DEFAULT_BACKEND) -> MapNetwork:
    """Load FaceVision-GAN, the map network that comes with facegeom.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1" or "mps"
    backend : "torch" or "onnx"

    Raises
    ------
    ValueError
        When the device is not available, or the backend does not support it.
    FacegeomError
        When the backend is not installed.
    WeightsError
        When the weight file is missing or damaged, or has another configuration.
    """
    check_backend(backend, device)
    if backend == "onnx":
        from facegeom.networks.onnx.facevision import load_facevision as load_onnx

        return load_onnx()
    from facegeom.networks.facevision import load_facevision

    return load_facevision(device)


def load_mesh_network(
    name: str, device: str = "cpu", weights: str | os.PathLike[str] | None = None, backend: str = DEFAULT_BACKEND
) -> MeshNetwork:
    """Load a trained network that deforms the semi-sphere.

    Parameters
    ----------
    name : one of `MESH_PIPELINES`
    device : "cpu", "cuda", "cuda:1" or "mps"
    weights : path of a weight file, or None for the file in the package
    backend : "torch" or "onnx"

    Raises
    ------
    ValueError
        If the name is unknown or the device is not available.
    FacegeomError
        If the backend is not installed.
    WeightsError
        If the file is missing, damaged or has another configuration.
    """
    check.choice(name, "name", MESH_PIPELINES)
    check_backend(backend, device)
    if backend == "onnx":
        from facegeom.networks.onnx.semi_sphere import load_semi_sphere

        return load_semi_sphere(name, weights)
    from facegeom.networks.devices import check_device
    from facegeom.networks.gcn_igan import GcnIganConfig, GcnIganGenerator
    from facegeom.networks.pixel2mesh import Pixel2MeshConfig, Pixel2MeshNetwork
    from facegeom.networks.semi_sphere_network import SemiSphereNetwork, SemiSpherePredictor
    from facegeom.networks.weights import load_state, load_weights

    check_device(device)
    network: SemiSphereNetwork
    with one_thread():  # after the import of torch
        if name == "pixel2mesh":
            config, state = load_weights(name, Pixel2MeshConfig, weights)
            network = Pixel2MeshNetwork(config)
        else:
            settings, state = load_weights(name, GcnIganConfig, weights)
            network = GcnIganGenerator(settings)
        load_state(network, name, state)
        return SemiSpherePredictor(name, network, device)


def load_texture_network(backend: str = DEFAULT_BACKEND) -> TextureNetwork:
    """Load the texture completion network that comes with facegeom; it runs on the CPU.

    Parameters
    ----------
    backend : "torch" or "onnx"

    Raises
    ------
    FacegeomError
        When the backend is not installed.
    WeightsError
        When the weight file is missing or damaged, or has another configuration.
    """
    check_backend(backend)
    if backend == "onnx":
        from facegeom.networks.onnx.gated_inpainting import load_gated_inpainting as load_onnx

        return load_onnx()
    from facegeom.networks.gated_inpainting import load_gated_inpainting

    return load_gated_inpainting()


def load_identity_network(
    device: str = "cpu", weights: str | os.PathLike[str] | None = None, backend: str = DEFAULT_BACKEND
) -> IdentityPredictor:
    """Load the identity network.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1" or "mps"
    weights : path of a weight file, or None for the file in the package
    backend : "torch" or "onnx"

    Raises
    ------
    ValueError
        When the device is not available, or the backend does not support it.
    FacegeomError
        When the backend is not installed.
    WeightsError
        When the weight file is missing or damaged, or has another configuration.
    """
    check_backend(backend, device)
    if backend == "onnx":
        from facegeom.networks.onnx.identity import load_identity as load_onnx

        return load_onnx(weights)
    from facegeom.networks.identity import load_identity

    return load_identity(device, weights)


def load_contour_network(
    device: str = "cpu", weights: str | os.PathLike[str] | None = None, backend: str = DEFAULT_BACKEND
) -> ContourPredictor:
    """Load the contour network.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1" or "mps"
    weights : path of a weight file, or None for the file in the package
    backend : "torch" or "onnx"

    Raises
    ------
    ValueError
        When the device is not available, or the backend does not support it.
    FacegeomError
        When the backend is not installed.
    WeightsError
        When the weight file is missing or damaged, or has another configuration.
    """
    check_backend(backend, device)
    if backend == "onnx":
        from facegeom.networks.onnx.contours import load_contours as load_onnx

        return load_onnx(weights)
    from facegeom.networks.contours import load_contours

    return load_contours(device, weights)


def load_segmentation_network(
    device: str = "cpu", weights: str | os.PathLike[str] | None = None, backend: str = DEFAULT_BACKEND
) -> SegmentationPredictor:
    """Load the segmentation network.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1" or "mps"
    weights : path of a weight file, or None for the file in the package
    backend : "torch" or "onnx"

    Raises
    ------
    ValueError
        When the device is not available, or the backend does not support it.
    FacegeomError
        When the backend is not installed.
    WeightsError
        When the weight file is missing or damaged, or has another configuration.
    """
    check_backend(backend, device)
    if backend == "onnx":
        from facegeom.networks.onnx.segmentation import load_segmentation as load_onnx

        return load_onnx(weights)
    from facegeom.networks.segmentation import load_segmentation

    return load_segmentation(device, weights)


def load_denoising_network(
    method: str, device: str = "cpu", weights: str | os.PathLike[str] | None = None, backend: str = DEFAULT_BACKEND
) -> DenoisingNetwork:
    """Load a network that removes noise.

    Parameters
    ----------
    method : "dense_unet" with the weights of the package; with a weight file also "matrix_unet", and with backend
        "torch" the other methods of `facegeom train denoiser`
    device : "cpu", "cuda", "cuda:1" or "mps"
    weights : path of a weight file, or None for the file in the package
    backend : "torch" or "onnx"

    Raises
    ------
    ValueError
        When the device is not available, or the backend does not support it, or there is no such method.
    FacegeomError
        When the backend is not installed.
    WeightsError
        When the weight file is missing or damaged, or has another configuration.
    """
    check_backend(backend, device)
    if backend == "onnx":
        from facegeom.networks.onnx.denoising import load_denoiser as load_onnx

        return load_onnx(method, weights)
    from facegeom.networks.denoising.denoiser import load_denoiser

    return load_denoiser(method, device, weights)
