"""``GET /thumbnail``: the small picture kept of an image, where thumbnails are kept at all."""

from flask import Blueprint, Response, request

from match_service.api import endpoints
from match_service.api.params import Params
from match_service.api.replies import picture
from match_service.engine.thumbnail import note
from match_service.errors import MissingError
from match_service.matcher import Matcher
from match_service.thumbnails import Thumbnails


def blueprint(matcher: Matcher, kept: Thumbnails | None) -> Blueprint:
    """The route over ``matcher`` and what is ``kept``."""
    pictures = Blueprint("thumbnail", __name__)

    def thumbnail() -> Response:
        filepath = Params(request, query=True).filepath() or ""
        if kept is None:
            raise MissingError("This service keeps no thumbnails; MATCH_THUMBNAILS says where it should.")
        jpeg = kept.get(filepath)
        # Of two images added at one filepath at the same moment the picture of the other may have stayed.
        if jpeg is None or note(jpeg) != matcher.stored(filepath).record.sha256:
            raise MissingError("No thumbnail is kept of that image.")
        response = picture(jpeg)
        response.headers["Cache-Control"] = "private, no-cache"
        response.add_etag()
        response.make_conditional(request)
        return response

    pictures.add_url_rule(endpoints.THUMBNAIL.path, endpoints.THUMBNAIL.name, thumbnail)
    return pictures
