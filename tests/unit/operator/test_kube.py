"""What the API server's refusals mean; that it words them so is asked of a real one in tests/integration."""

import json
from typing import Any

import pytest
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException

import world
from match_operator.clients.kube import Kube
from match_operator.errors import ForbiddenError, InvalidSpecError, OperatorError, PermissionMissingError

ITEM = world.objects(world.cluster())[-1]


def refusing(status: int, message: str) -> Kube:
    """A client of an API server that refuses everything."""

    class Refusing:
        def request(self, *_: Any, **__: Any) -> None:
            error = ApiException(status=status, reason="no")
            error.body = json.dumps({"message": message})
            raise error

    kube = Kube(ApiClient())
    kube._dynamic = Refusing()
    return kube


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (422, 'StatefulSet.apps "a" is invalid: spec', InvalidSpecError),
        (500, "failed to create typed patch object", InvalidSpecError),
        (403, "only dynamically provisioned pvc can be resized and must support resize", InvalidSpecError),
        (403, 'persistentvolumeclaims "a" is forbidden: exceeded quota: q', ForbiddenError),
        (403, 'admission webhook "w" denied the request: because', ForbiddenError),
        (
            403,
            'jobs.batch "a" is forbidden: User "serviceaccount:x:y" cannot patch resource "jobs" in lab',
            PermissionMissingError,
        ),
    ],
    ids=["invalid", "mistyped", "no resize", "quota", "webhook", "role"],
)
def test_a_refusal_says_whose_it_is(status: int, message: str, error: type[OperatorError]):
    with pytest.raises(OperatorError, match=message[:20]) as raised:
        refusing(status, message).apply(ITEM, missing=False)
    assert type(raised.value) is error
