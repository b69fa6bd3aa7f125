"""The file of textures and occlusion masks with which texture completion is trained and measured."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray
from facegeom._internal.files import write_npz
from facegeom.errors import FacegeomError
from facegeom.texture.texel_classes import NONE

KINDS = ("three", "two", "photo", "skin")
"""Kinds of textures: joined from photos of three or two views, of one photo, and painted (a skin of the assets)."""
SPLITS = ("training", "validation", "test")

PACKED = ("seen", "hair", "masks")


@dataclass(frozen=True)
class TextureSet:
    """Textures of heads and occlusion masks, as `read_textures` returns them.

    Attributes
    ----------
    textures : (n, S, S, 3) uint8 array
        Colours of the whole atlas. Those of texels that are not `seen` are made up; nothing is trained or measured with
        them.
    seen : (n, S, S) bool array
        Texels of the skin that a photo of the person shows in their own class, or that a skin of the assets has.
    hair : (n, S, S) bool array
        Texels at which the texture shows hair; the other seen texels show skin.
    kind : (n,) str array
        Kind of the texture, one of `KINDS`.
    identity : (n,) str array
        Name of the person, or of the skin.
    split : (n,) str array
        Set of the person, one of `SPLITS`.
    masks : (m, S, S) bool array
        Occlusion masks: True for known texels; False outside `region`.
    part : (S, S) uint8 array
        Part of the head of each texel, see `facegeom.texture.texel_classes.PARTS`.
    """

    textures: ByteArray
    seen: BoolArray
    hair: BoolArray
    kind: np.ndarray
    identity: np.ndarray
    split: np.ndarray
    masks: BoolArray
    part: ByteArray

    @property
    def region(self) -> BoolArray:
        """The texels that are completed, (S, S) bool: the skin of face, ears, neck and scalp."""
        return np.asarray(self.part != NONE)

    def with_test_of(self, other: TextureSet) -> TextureSet:
        """Return this set with the test textures of another one in place of its own.

        Raises
        ------
        FacegeomError
            If the textures of the other set have another size or other parts of the head.
        """
        if not np.array_equal(self.part, other.part):
            raise FacegeomError("the two files of textures have different sizes or parts of the head")
        own, others = self.split != "test", other.split == "test"
        per_texture = ("textures", "seen", "hair", "kind", "identity", "split")
        joined = {
            name: np.concatenate([getattr(self, name)[own], getattr(other, name)[others]]) for name in per_texture
        }
        return replace(self, **joined)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all fields to one uncompressed .npz file; after an error there is no incomplete file.

        Masks are stored as bits, packed along the last axis by `numpy.packbits`. The additional entry `size` is S, the
        number of valid bits in a row.
        """
        arrays = {"size": self.part.shape[-1]}
        for name in self.__dataclass_fields__:
            values = getattr(self, name)
            arrays[name] = np.packbits(values, axis=-1) if name in PACKED else values
        write_npz(path, arrays, compressed=False)


def read_textures(path: str | os.PathLike[str]) -> TextureSet:
    """Read a file written by `facegeom prepare textures`.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    FacegeomError
        If an older version wrote the file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there are no textures at {path}: make them with `facegeom prepare textures`")
    with np.load(path) as data:
        if "part" not in data:
            raise FacegeomError(f"{path} has no parts of the head: make it again with `facegeom prepare textures`")
        size = int(data["size"])
        arrays = {name: data[name] for name in TextureSet.__dataclass_fields__}
    arrays |= {name: np.unpackbits(arrays[name], axis=-1, count=size).astype(np.bool_) for name in PACKED}
    return TextureSet(**arrays)
