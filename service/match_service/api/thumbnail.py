"""``GET /thumbnail``: the small picture kept of an image, where thumbnails are kept at all."""

from flask import Blueprint, Response, abort, request

from match_service.api.params import Params
from match_service.matcher import Matcher


def blueprint(matcher: Matcher) -> Blueprint:
    """The route over ``matcher``."""
    pictures = Blueprint("thumbnail", __name__)

    def thumbnail() -> Response:
        jpeg = matcher.thumbnail(Params(request, query=True).filepath())
        if jpeg is None:
            abort(404, "No thumbnail is kept of this image.")
        response = Response(jpeg, mimetype="image/jpeg")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "private, no-cache"
        response.add_etag()
        response.make_conditional(request)
        return response

    pictures.add_url_rule("/thumbnail", "thumbnail", thumbnail)
    return pictures
