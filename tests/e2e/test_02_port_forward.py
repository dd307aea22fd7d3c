"""Story: the API from one's own machine, through `matchctl port-forward`, while its pods are replaced."""

import os
import re
import subprocess
import sys

from stories import Api, Namespace, picture, wait


def test_a_forward_leads_to_the_api_and_outlives_its_pods(photos: Namespace):
    photos.wait_ready("photos")
    command = [sys.executable, "-m", "match_operator.ctl", "--kubeconfig", str(photos.lab.kubeconfig)]
    words = ["port-forward", "photos", "-n", photos.name, "--port", "0"]
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True, env=env) as forward:
        try:
            assert forward.stdout is not None
            found = re.match(r"(http://127\.0\.0\.1:\d+) leads to photos", forward.stdout.readline())
            assert found
            api = Api(found[1], photos.key("photos"))
            api.add("forwarded.jpg", picture(4711))
            pod = next(iter(photos.pods("photos", "api")))
            photos.kubectl("delete", "pod", pod)
            wait(lambda: searches(api), 60, lambda: str(photos.pods("photos", "api").keys()))
            api.delete("forwarded.jpg")
        finally:
            forward.terminate()
    photos.wait_ready("photos")


def searches(api: Api) -> bool:
    return api.search(picture(4711))[0]["filepath"] == "forwarded.jpg"
