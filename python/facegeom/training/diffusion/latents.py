"""Latents, maps and attributes of training photos, computed once between the two stages of the training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom._internal.files import write_npz
from facegeom._internal.threads import one_thread
from facegeom.face_model import load_face_model
from facegeom.networks.diffusion.autoencoder import HeadAutoencoder
from facegeom.networks.interface import SegmentationPredictor
from facegeom.networks.segmentation import load_segmentation
from facegeom.training.data.samples import NumberedStream, image_tensor
from facegeom.training.diffusion.conditions import HeadAttributes, mirrored
from facegeom.training.diffusion.head_photos import HeadPhotos
from facegeom.training.loop import network_input

BATCH = 32


@dataclass(frozen=True)
class LatentSet:
    """Samples of the second stage.

    Attributes
    ----------
    latents : (n, c, s, s) float16 array
    maps : (n, MAPS, 2 s, 2 s) float16 array
    attributes : (n, a) float32 array
    key : str, digest of everything that the samples were made from
    """

    latents: np.ndarray
    maps: np.ndarray
    attributes: np.ndarray
    key: str

    def __len__(self) -> int:
        return len(self.latents)

    def moments(self) -> tuple[Float32Array, Float32Array]:
        """Return mean and standard deviation of the channels of the latents, (c,) each."""
        values = self.latents.astype(np.float32)
        mean = values.mean((0, 2, 3))
        return mean, np.maximum(values.std((0, 2, 3)), 1e-3)


class LatentStream(NumberedStream):
    """Samples of the second stage with their noise, so that a run can be resumed exactly.

    A sample is: latents (c, s, s) float32; maps (MAPS, 2 s, 2 s) float32; attributes (a,); standard normal noise of the
    shape of the latents; time () from 1 to `last`; 1 or, for the share `dropped`, 0 for a sample without condition.
    """

    def __init__(self, latents: LatentSet, last: int, dropped: float, seed: int, start: int, end: int) -> None:
        super().__init__(seed, start, end)
        self.latents, self.last, self.dropped = latents, last, dropped

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one sample."""
        item = int(rng.integers(len(self.latents)))
        arrays = self.latents.latents[item], self.latents.maps[item], self.latents.attributes[item]
        noise = rng.standard_normal(arrays[0].shape, np.float32)
        time, known = int(rng.integers(1, self.last + 1)), float(rng.random() >= self.dropped)
        tensors = [torch.from_numpy(array.astype(np.float32)) for array in arrays]
        return *tensors, torch.from_numpy(noise), torch.tensor(time), torch.tensor(known)


def latent_set(
    path: Path, photos: HeadPhotos, network: HeadAutoencoder, versions: int, seed: int, device: torch.device
) -> LatentSet:
    """Return the latents of photos: those in a file if it was made from the same photos and network, else new ones.

    Parameters
    ----------
    path : .npz file, read or written
    photos : HeadPhotos
    network : HeadAutoencoder on the device
    versions : number of crops of each photo: one with the head in its middle, the others with random errors; every
        second one is mirrored
    seed : of the errors
    device : torch.device
    """
    key = _key(photos, network, versions, seed)
    if path.exists():
        with np.load(path) as data:
            if str(data["key"]) == key:
                return LatentSet(data["latents"], data["maps"], data["attributes"], key)
    parts = list(_encoded(photos, network, load_segmentation(), versions, seed, device))
    arrays = [np.concatenate([part[number] for part in parts]) for number in range(3)]
    made = LatentSet(arrays[0], arrays[1], arrays[2], key)
    names = ("latents", "maps", "attributes", "key")
    write_npz(path, {name: getattr(made, name) for name in names}, compressed=False)
    return made


@one_thread()
def _encoded(
    photos: HeadPhotos,
    network: HeadAutoencoder,
    segmentation: SegmentationPredictor,
    versions: int,
    seed: int,
    device: torch.device,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield latents, maps and attributes of parts of the samples."""
    reader, size = HeadAttributes(load_face_model(), segmentation), network.config.size
    numbers = [(item, version) for item in range(len(photos)) for version in range(versions)]
    for start in tqdm(range(0, len(numbers), BATCH), desc="latents", unit="batch"):
        images: list[ByteArray] = []
        maps: list[Float32Array] = []
        attributes: list[Float32Array] = []
        for item, version in numbers[start : start + BATCH]:
            rng = np.random.default_rng([seed, item, version])
            crop = photos.random_crop(item, size, rng) if version else photos.crop(item, size)
            told = reader.maps.reduced(crop.fit, size), reader.read(crop.image, crop.fit)
            mirror = version % 2 == 1
            images.append(np.ascontiguousarray(crop.image[:, ::-1]) if mirror else crop.image)
            plain = mirrored(*told) if mirror else told
            maps.append(plain[0])
            attributes.append(plain[1])
        with torch.inference_mode():
            batch = network_input(torch.stack([image_tensor(image) for image in images]), device)
            latents = network.encode(batch).float().cpu().numpy()
        yield latents.astype(np.float16), np.stack(maps).astype(np.float16), np.stack(attributes)


def _key(photos: HeadPhotos, network: HeadAutoencoder, versions: int, seed: int) -> str:
    digest = hashlib.sha256(repr((network.config, photos.names, versions, seed)).encode())
    labels = photos.labels
    for array in (labels.identity, labels.expression, labels.rotation, labels.scale, labels.translation):
        digest.update(np.ascontiguousarray(array[photos.rows]).tobytes())
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
