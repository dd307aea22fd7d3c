"""The Python client on the real service: what docs/client.md shows, and what a script cannot know."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from match_client import AsyncClient, BadRequestError, Client, Match
from pictures import flat, jpeg
from serving import Server, server

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs/client.md").read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("served")) as started:
        yield started


@pytest.mark.parametrize("example", EXAMPLES, ids=["blocking", "asynchronous"])
def test_the_documented_examples_run(example: str, running: Server, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(jpeg(1))
    code = example.replace("http://127.0.0.1:8888", running.url)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "service")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] in (
        "100.0 cats/1.jpg {'owner': 'ann'}",
        "[100.0, 100.0]",
    )


def test_any_filepath_and_metadata_comes_back_as_it_went_in(running: Server) -> None:
    names = ["a b", "ä/ö?&=%#+", "x" * 8000, '"quoted"; filename="a"', "表.jpg", "🙂"]
    metadata = {"deep": [1, 2.5, None, True, {"ü": "表"}]}
    with Client(running.url) as client:
        for name in names:
            client.add(name, jpeg(3), metadata)
        assert sorted(m.filepath for m in client.search(jpeg(3))) == sorted(names)
        assert client.search(jpeg(3))[0].metadata == metadata
        assert list(client.list(page_size=2)) == sorted(names)
        for name in names:
            client.delete(name)
        assert client.count() == 0


def test_the_service_s_sentence_arrives(running: Server) -> None:
    with Client(running.url) as client, pytest.raises(BadRequestError, match="The image is flat") as caught:
        client.add("flat", flat())
    assert caught.value.status == 400


def test_many_asynchronous_calls_at_once(running: Server) -> None:
    async def work() -> list[list[Match]]:
        async with AsyncClient(running.url) as client:
            await asyncio.gather(*(client.add(f"many/{n}", jpeg(n)) for n in range(20)))
            found = await asyncio.gather(*(client.search(jpeg(n, 160, 120)) for n in range(20)))
            assert [path async for path in client.list(7)] == sorted(f"many/{n}" for n in range(20))
            return found

    found = asyncio.run(work())
    assert [rows[0].filepath for rows in found] == [f"many/{n}" for n in range(20)]
