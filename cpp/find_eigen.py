"""Print the folder that holds Eigen's headers, as the pinned cmeel-eigen package installed it."""

import importlib.metadata
import sys

for entry in importlib.metadata.files("cmeel-eigen") or []:
    if entry.as_posix().endswith("include/eigen3/Eigen/Core"):
        print(entry.locate().resolve().parents[1].as_posix())
        break
else:
    sys.exit("cmeel-eigen is installed without Eigen's headers")
