"""Networks that deform the semi-sphere: milliseconds a crop on one thread, the whole and each of its parts."""

import numpy as np
import pytest
import torch

from facegeom.networks.gcn_igan import GcnIganGenerator
from facegeom.networks.pixel2mesh import Pixel2MeshNetwork
from facegeom.networks.semi_sphere import semi_sphere
from facegeom.networks.semi_sphere_network import SemiSpherePredictor


@pytest.mark.parametrize(("name", "network"), [("pixel2mesh", Pixel2MeshNetwork), ("gcn_igan", GcnIganGenerator)])
def test_mesh_network_by_part(compare, name, network):
    whole = SemiSpherePredictor(name, network())
    made = whole.network
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (1, whole.size, whole.size, 3), dtype=np.uint8)
    landmarks = rng.normal(0, 0.4, (1, 68, 3)).astype(np.float32) if whole.needs_landmarks else None
    image = torch.from_numpy(crop.transpose(0, 3, 1, 2) / np.float32(127.5) - 1)
    image = image.contiguous(memory_format=torch.channels_last)
    given = None if landmarks is None else torch.from_numpy(landmarks)

    torch.set_num_threads(1)
    with torch.inference_mode():
        features, placement = made.encode_image(image, given)
        own = None if given is None else placement.to_sphere(given.transpose(0, 1)).transpose(0, 1)
        position, hidden = placement.to_crop(made.start), None
        parts = {"of it encoder": lambda: made.encode_image(image, given)}
        for level in range(4):
            if level:
                position, hidden = made.unpool(level, position, hidden)
            inputs = level, features, placement, position, hidden, own
            parts[f"of it block {level + 1}"] = lambda inputs=inputs: made.deform(*inputs)
            position, hidden = made.deform(*inputs)
        found, others = compare(f"{name}, crop to mesh", lambda: whole.predict(crop, landmarks), parts)
    assert [len(stage[0]) for stage in found] == [level.count for level in semi_sphere().levels]
    np.testing.assert_allclose(others["of it block 4"][0][:, 0].numpy(), found[-1][0], atol=1e-5)
