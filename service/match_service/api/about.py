"""What the service tells about itself: metrics, and the description of its API."""

import json

from flask import Blueprint, Response

from match_service import metrics
from match_service.api.openapi import document


def blueprint() -> Blueprint:
    """Routes of ``/metrics`` and ``/openapi.json``."""
    about = Blueprint("about", __name__)
    description = json.dumps(document())

    def openapi() -> Response:
        return Response(description, mimetype="application/json")

    def exposition() -> Response:
        return Response(metrics.exposition(), content_type=metrics.CONTENT_TYPE)

    about.add_url_rule("/openapi.json", "openapi", openapi)
    about.add_url_rule("/metrics", "metrics", exposition)
    return about
