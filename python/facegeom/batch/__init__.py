"""Many photos: found in folders, reconstructed by worker processes or on a Ray cluster, recorded, and resumed."""

from facegeom.batch.inputs import FoundPhoto, find_photos
from facegeom.batch.many import Outcome, reconstruct_many

__all__ = ["FoundPhoto", "Outcome", "find_photos", "reconstruct_many"]
