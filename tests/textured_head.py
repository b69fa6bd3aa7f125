"""A head of the face model with a given texture, rendered into photos."""

import cv2
import numpy as np

from facegeom import geometry
from facegeom.images.camera import Camera


def turned(yaw, scale=2.0, side=400):
    y = np.radians(yaw)
    rotation = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    return Camera(rotation, scale, (side / 2, side / 2))


def smooth_texture(size, seed=0):
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.uniform(40, 220, (6, 6, 3)), (size, size), interpolation=cv2.INTER_CUBIC)


def draw(model, atlas, texture, camera, side=400):
    """Return a rendering (side, side, 3) of the model's head without shading, and the (side, side) mask of the face."""
    points = np.column_stack([camera.project(model.mean), camera.view(model.mean)[:, 2]])
    corners = points[model.faces.ravel()]
    uv = model.uv[model.uv_faces.ravel()] * (1, -1) + (0, 1)
    raster = geometry.rasterize(corners, np.arange(len(corners)).reshape(-1, 3), uv, (side, side))
    place = (np.nan_to_num(raster.attributes) * len(texture) - 0.5).astype(np.float32)
    photo = cv2.remap(texture.astype(np.float32), place[..., 0], place[..., 1], cv2.INTER_LINEAR)
    head = raster.triangle >= 0
    shown = head & model.regions["map"][model.faces].all(axis=1)[raster.triangle]
    photo = np.where(head[..., None], np.clip(photo, 0, 255), 0)
    return np.rint(photo).astype(np.uint8), shown


def box_of(side):
    return (-0.5, -0.5, side - 0.5, side - 0.5)
