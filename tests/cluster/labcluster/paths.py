"""Where the lab keeps things: outside the checkout, so that builds outlive branches and clones."""

import os
import tempfile
from pathlib import Path

DEFINITIONS = Path(__file__).resolve().parent.parent / "definitions"
REPOSITORY = Path(__file__).resolve().parents[3]


def cache() -> Path:
    """The folder of finished builds; shared by every checkout of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "match-operator"


def lab() -> Path:
    """Data, logs and settings of what runs: `MATCH_LAB_DIR`, for root /var/lib/match-operator-lab."""
    chosen = os.environ.get("MATCH_LAB_DIR")
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/match-operator-lab")
    return Path(tempfile.gettempdir()) / f"match-operator-lab-{os.geteuid()}"


def run() -> Path:
    """Sockets and records of processes; gone after a reboot, as the processes are."""
    if os.geteuid() == 0 and not os.environ.get("MATCH_LAB_DIR"):
        return Path("/run/match-operator-lab")
    return lab() / "run"


def logs() -> Path:
    """One file for each long-running process and each build."""
    return lab() / "logs"
