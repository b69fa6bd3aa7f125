"""Sessions of ONNX Runtime: a graph of the package, with the weights of a weight file.

`facegeom prepare graphs` writes the graphs. A graph refers to its weights by name only, as external data. Beside each
graph a JSON file lists these names with their shapes, and the configuration of the network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from facegeom._internal.arrays import Float32Array
from facegeom.errors import WeightsError
from facegeom.networks.weight_files import read_weights

GRAPHS = Path(__file__).with_name("graphs")
FATAL_ONLY = 4  # least severity of the messages that ONNX Runtime logs; errors are raised, too

Constants = Mapping[str, npt.NDArray[Any]]


class NetworkSession:
    """A network in ONNX Runtime, on one thread of the CPU; `run` may be called from several threads at a time.

    Parameters
    ----------
    name : name of the graph and of the weight file
    path : path of a weight file, or None for the file in the package
    constants : arrays by name that the graph needs beside the weights, such as the connectivity of a mesh

    Attributes
    ----------
    config : dict, the fields of the network's configuration
    weights : dict from name to array, the content of the weight file

    Raises
    ------
    WeightsError
        When the weight file or the graph is missing or damaged, or they belong to different configurations.

    Notes
    -----
    A session has no threads of its own, so it works in processes that are forked after it was created.
    """

    def __init__(
        self, name: str, path: str | os.PathLike[str] | None = None, constants: Constants | None = None
    ) -> None:
        self.config, self.weights = read_weights(name, path)
        graph, config, shapes = _read_graph(name)
        if _as_json(self.config) != config:
            raise WeightsError(f"the weights of {name} have another configuration than the graph of the ONNX backend")
        given: dict[str, npt.NDArray[Any]] = {**(constants or {}), **self.weights}
        for key, shape in shapes.items():
            if key not in given or list(given[key].shape) != shape:
                raise WeightsError(f"the weights of {name} belong to another version of the network: {key} differs")
        self._initializers = {  # the session refers to these arrays and does not copy them
            key: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(given[key])) for key in shapes
        }
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = FATAL_ONLY
        options.add_external_initializers(list(self._initializers), list(self._initializers.values()))
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises classes of its own, without a common base
            raise WeightsError(f"the graph of {name} cannot be loaded: {str(error).splitlines()[0]}") from error

    def run(self, **inputs: npt.NDArray[Any]) -> list[Float32Array]:
        """Return the outputs of the graph for its inputs, arrays by name."""
        return [
            np.asarray(output, np.float32)
            for output in self._session.run(None, {key: np.ascontiguousarray(value) for key, value in inputs.items()})
        ]


def as_image(pixels: npt.NDArray[np.uint8]) -> Float32Array:
    """Convert uint8 images (b, h, w, 3) to the networks' input (b, 3, h, w), float32 in [-1, 1]."""
    return pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - np.float32(1)


def _read_graph(name: str) -> tuple[bytes, dict[str, Any], dict[str, list[int]]]:
    """Return the bytes of a graph, the configuration of its network, and the shape of each array that it needs."""
    try:
        facts = json.loads((GRAPHS / f"{name}.json").read_text(encoding="utf-8"))
        return (GRAPHS / f"{name}.onnx").read_bytes(), facts["config"], facts["initializers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"the graph of {name} for the ONNX backend cannot be read: {error}") from error


def _as_json(config: Mapping[str, Any]) -> Any:
    """Return a configuration as it is read from JSON, with lists instead of tuples."""
    return json.loads(json.dumps(config))
