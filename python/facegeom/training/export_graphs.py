"""Export of the networks that `reconstruct` runs as ONNX graphs without weights, for `backend="onnx"`.

A graph refers to its weights by their names in the weight file, as external data that does not exist as a file: the
session supplies them (`facegeom.networks.onnx.session`). A graph therefore stays valid when a network is trained
again with the same configuration. Beside each graph, a JSON file lists the configuration of the network and the names
and shapes of the arrays that the graph needs.
"""

from __future__ import annotations

import argparse
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facegeom._internal.files import write_atomically
from facegeom.networks.contours import ContourConfig, ContourNetwork
from facegeom.networks.denoising.denoiser import METHODS, DenoiserConfig
from facegeom.networks.facevision import FaceVisionConfig, FaceVisionGenerator
from facegeom.networks.gated_inpainting import GatedInpainting, GatedInpaintingConfig
from facegeom.networks.gcn_igan import GcnIganConfig, GcnIganGenerator
from facegeom.networks.graph import Graph
from facegeom.networks.identity import IdentityConfig, IdentityNetwork
from facegeom.networks.interface import DENOISER_STEP
from facegeom.networks.onnx.session import GRAPHS
from facegeom.networks.pixel2mesh import Pixel2MeshConfig, Pixel2MeshNetwork
from facegeom.networks.segmentation import SegmentationConfig, SegmentationNetwork
from facegeom.networks.semi_sphere import Level, neighbour_rows, semi_sphere
from facegeom.networks.semi_sphere_network import SemiSphereNetwork, SemiSpherePlacement
from facegeom.networks.weight_files import WEIGHTS, read_weights
from facegeom.networks.weights import load_weights

OPSET = 18  # the first version of ONNX with all operators of these networks
EXTERNAL = "weights"
"""Name of the file in which the graph claims to have its weights; the file does not exist."""

STAGES = ("deformed1", "deformed2", "deformed3", "deformed4")


@dataclass(frozen=True)
class Exported:
    """A network in the form in which it is exported.

    Attributes
    ----------
    module : the module that is traced; the network is its child `network`
    inputs : example arguments by name; the first axis of each is the number of images
    outputs : names of the outputs, with the same first axis
    config : configuration of the network; None: that of its weight file in the package
    any_size : whether height and width of all inputs and outputs may vary
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    config: dict[str, Any] | None = None
    any_size: bool = False


class _Maps(nn.Module):
    """FaceVision-GAN's generator: image -> maps (b, 5, S, S)."""

    def __init__(self, network: FaceVisionGenerator) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        maps: Tensor = self.network(image)
        return maps


class _Texture(nn.Module):
    """The texture completion network: texture, known and, with classes, hair -> the prediction of the last stage."""

    def __init__(self, network: GatedInpainting) -> None:
        super().__init__()
        self.network = network

    def forward(self, texture: Tensor, known: Tensor, hair: Tensor | None = None) -> Tensor:
        last: Tensor = self.network(texture, known, hair).last
        return last


class _Identity(nn.Module):
    """The identity network: image -> mean and logarithm of the variance of the coefficients, and the points."""

    def __init__(self, network: IdentityNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(image))


class _Contours(nn.Module):
    """The contour network: crops -> places and logarithm of the deviation."""

    def __init__(self, network: ContourNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(crops))


class _Segmentation(nn.Module):
    """The segmentation network: image -> logits of the classes."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image)
        return logits


class _Denoiser(nn.Module):
    """A denoising network: noisy images -> images without noise."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, noisy: Tensor) -> Tensor:
        clean: Tensor = self.network(noisy)
        return clean


class _Meshes(nn.Module):
    """Pixel2Mesh: image -> the four meshes (b, n, 3)."""

    def __init__(self, network: SemiSphereNetwork) -> None:
        super().__init__()
        self.network = network
        network.graphs = nn.ModuleList(_GatheredGraph(level) for level in semi_sphere().levels)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(made.after.transpose(0, 1) for made in self.network(image))


class _PlacedMeshes(_Meshes):
    """GCN-IGAN: image, landmarks and the placement that the landmarks give -> the four meshes (b, n, 3)."""

    network: GcnIganGenerator

    def forward(  # type: ignore[override]
        self, image: Tensor, landmarks: Tensor, rotation: Tensor, scale: Tensor, shift: Tensor
    ) -> tuple[Tensor, ...]:
        placement = SemiSpherePlacement(rotation, scale, shift)
        made = self.network.deform_placed(self.network.image_features(image), placement, landmarks)
        return tuple(deformation.after.transpose(0, 1) for deformation in made)


class _GatheredGraph(Graph):
    """A graph whose sums over neighbours are sums of gathered rows; ONNX has no `embedding_bag`."""

    rows: Tensor  # (k, n + 1), see `neighbour_rows`

    def __init__(self, level: Level) -> None:
        super().__init__(level.edges, level.count)
        rows = neighbour_rows(level)
        self.most = len(rows)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)

    def sum_neighbours(self, features: Tensor) -> Tensor:
        """Return the sum of the neighbours' features for each vertex, (n, b, c) -> (n, b, c)."""
        return self._sum(_with_last_row(features))[:-1]

    def smoothed(self, features: Tensor, steps: int) -> Tensor:
        """Smooth features (n, b, c); see `Graph.smoothed`."""
        share = 0.5 / _with_last_row(self.degree, 1.0)
        features = _with_last_row(features)
        for _ in range(steps):
            features = 0.5 * features + share * self._sum(features)
        return features[:-1]

    def _sum(self, features: Tensor) -> Tensor:
        """Return the sums for features (n + 1, b, c) whose last row is 0, by a product with a row of ones."""
        gathered = features[self.rows]  # (k, n + 1, b, c)
        return (torch.ones(1, self.most) @ gathered.flatten(1)).view_as(features)


def _with_last_row(values: Tensor, filling: float = 0.0) -> Tensor:
    """Return values (n, b, c) with one more row that contains the filling, (n + 1, b, c)."""
    return nn.functional.pad(values, (0, 0, 0, 0, 0, 1), value=filling)


def _facevision() -> Exported:
    config = load_weights("facevision", FaceVisionConfig)[0]
    images = torch.zeros(2, 3, config.size, config.size)
    return Exported(_Maps(FaceVisionGenerator(config)), {"image": images}, ("maps",))


def _pixel2mesh() -> Exported:
    config = load_weights("pixel2mesh", Pixel2MeshConfig)[0]
    images = torch.zeros(2, 3, config.size, config.size)
    return Exported(_Meshes(Pixel2MeshNetwork(config)), {"image": images}, STAGES)


def _gcn_igan() -> Exported:
    config = load_weights("gcn_igan", GcnIganConfig)[0]
    inputs = {
        "image": torch.zeros(2, 3, config.size, config.size),
        "landmarks": torch.zeros(2, 68, 3),
        "rotation": torch.eye(3).repeat(2, 1, 1),
        "scale": torch.ones(2, 1),
        "shift": torch.zeros(2, 3),
    }
    return Exported(_PlacedMeshes(GcnIganGenerator(config)), inputs, STAGES)


def _gated_inpainting() -> Exported:
    config = load_weights("gated_inpainting", GatedInpaintingConfig)[0]
    inputs = {
        "texture": torch.zeros(2, 3, config.size, config.size),
        "known": torch.zeros(2, 1, config.size, config.size),
    }
    if config.classes:
        inputs["hair"] = torch.zeros(2, 1, config.size, config.size)
    return Exported(_Texture(GatedInpainting(config)), inputs, ("completed",))


def _identity() -> Exported:
    config = IdentityConfig()
    images = torch.zeros(2, 3, config.size, config.size)
    return Exported(_Identity(IdentityNetwork(config)), {"image": images}, ("mean", "log_variance", "points"))


def _contours() -> Exported:
    config = ContourConfig()
    crops = torch.zeros(2, 3, 3, config.size, config.size)
    return Exported(_Contours(ContourNetwork(config)), {"crops": crops}, ("places", "log_deviation"))


def _segmentation() -> Exported:
    config = SegmentationConfig()
    images = torch.zeros(2, 3, config.size, config.size)
    return Exported(_Segmentation(SegmentationNetwork(config)), {"image": images}, ("logits",))


def _denoiser(method: str) -> Exported:
    images = torch.zeros(2, 3, 2 * DENOISER_STEP, 3 * DENOISER_STEP)
    shipped = (WEIGHTS / f"denoiser_{method}.safetensors").is_file()
    config = None if shipped else asdict(DenoiserConfig(method, "phone"))
    return Exported(_Denoiser(METHODS[method]()), {"noisy": images}, ("clean",), config, any_size=True)


NETWORKS: dict[str, Callable[[], Exported]] = {
    "facevision": _facevision,
    "pixel2mesh": _pixel2mesh,
    "gcn_igan": _gcn_igan,
    "gated_inpainting": _gated_inpainting,
    "identity": _identity,
    "contours": _contours,
    "segmentation": _segmentation,
    "denoiser_matrix_unet": partial(_denoiser, "matrix_unet"),
    "denoiser_dense_unet": partial(_denoiser, "dense_unet"),
}
"""The networks that `reconstruct` runs, each with the configuration of its weights in the package."""


def export_graph(name: str, folder: Path) -> Path:
    """Export a network; write the graph and its JSON file to a folder and return the path of the graph.

    Parameters
    ----------
    name : one of `NETWORKS`
    folder : folder that exists
    """
    import onnx

    exported = NETWORKS[name]()
    _name_buffers(exported.module)
    _randomise(exported.module)
    content = io.BytesIO()
    axes = {0: "images", 2: "height", 3: "width"} if exported.any_size else {0: "images"}
    with warnings.catch_warnings(), torch.no_grad():  # with gradients, graph convolutions are no operators
        warnings.simplefilter("ignore")  # about the exporter by tracing, and about shapes that are constants
        torch.onnx.export(
            exported.module.eval(),
            tuple(exported.inputs.values()),
            content,  # type: ignore[arg-type]  # the exporter by tracing takes file objects, too
            dynamo=False,
            opset_version=OPSET,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,  # else weights of convolutions and normalisations are merged
            input_names=list(exported.inputs),
            output_names=list(exported.outputs),
            dynamic_axes=dict.fromkeys((*exported.inputs, *exported.outputs), axes),
        )
    model = onnx.load_from_string(content.getvalue())
    shapes = _externalise(model, exported.module)
    facts = {"config": exported.config or read_weights(name).config, "initializers": shapes}
    path = folder / f"{name}.onnx"
    _write(path, model.SerializeToString(deterministic=True))
    _write(path.with_suffix(".json"), (json.dumps(facts) + "\n").encode())
    return path


def _write(path: Path, content: bytes) -> None:
    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)


def _name_buffers(module: nn.Module) -> None:
    """Make all buffers part of the state; the exporter would store the others as constants."""
    for part in module.modules():
        part._non_persistent_buffers_set.clear()


def _randomise(module: nn.Module) -> None:
    """Make all weights small and different, because the exporter merges arrays with the same content."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not name.endswith(".degree"):
            tensor.copy_(0.01 * torch.rand(tensor.shape, generator=generator) + name.endswith("running_var"))


def _externalise(model: Any, module: nn.Module) -> dict[str, list[int]]:
    """Replace the content of all parameters and buffers of the module by references; return the shape of each.

    Names lose the prefix of the child `network`. Names of nodes and notes of the exporter are removed.
    """
    import onnx

    prefix = "network."
    named = dict(module.named_parameters()) | dict(module.named_buffers())
    shapes: dict[str, list[int]] = {}
    for tensor in model.graph.initializer:
        if tensor.name not in named:
            raise ValueError(f"the exporter made the array {tensor.name}, which is no weight of the network")
        tensor.name = tensor.name.removeprefix(prefix)
        shapes[tensor.name] = list(tensor.dims)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=EXTERNAL)
    for node in model.graph.node:
        node.input[:] = [value.removeprefix(prefix) if value in named else value for value in node.input]
        node.ClearField("name")
        node.ClearField("doc_string")
    model.graph.ClearField("value_info")
    return dict(sorted(shapes.items()))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare graphs` to a parser."""
    parser.add_argument(
        "--out", "-o", default=str(GRAPHS), help="folder of the graphs; the default is that of the package"
    )
    parser.add_argument(
        "--network", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="networks to export (default: all)"
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the graphs and their JSON files."""
    return [Path(args.out) / f"{name}{suffix}" for name in args.network for suffix in (".onnx", ".json")]


def run(args: argparse.Namespace) -> int:
    """Export the networks and print the size of each graph."""
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    for name in args.network:
        path = export_graph(name, folder)
        print(f"{path.name:<24} {path.stat().st_size / 1e3:6.0f} kB", flush=True)
    return 0
