"""The captures and what tshark decoded of them are shared with the tests of the decoders."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "wire"))
