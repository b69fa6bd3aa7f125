"""Entry point of `python -m facegeom`."""

import sys

from facegeom.cli import main

sys.exit(main())
