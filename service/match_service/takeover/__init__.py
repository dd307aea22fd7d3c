"""Taking over an index that image-match wrote, as it is: signatures are read, no image is fetched again."""

from match_service.takeover.run import State, run
from match_service.takeover.source import Index, SourceError

__all__ = ["Index", "SourceError", "State", "run"]
