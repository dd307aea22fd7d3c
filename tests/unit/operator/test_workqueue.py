import asyncio
import threading

from match_operator.errors import ConflictError, KubernetesError
from match_operator.workqueue import STALL_SECONDS, WorkQueue

PHOTOS = ("lab", "photos")


def run(scenario):
    async def bounded():
        await asyncio.wait_for(scenario(), 10)

    asyncio.run(bounded())


async def until(done, queue):
    task = asyncio.create_task(queue.run())
    await asyncio.to_thread(done.wait, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_many_reasons_become_one_look():
    looks, done = [], threading.Event()

    def work(key):
        looks.append(key)
        done.set()

    async def scenario():
        queue = WorkQueue(work, workers=2)
        for _ in range(100):
            queue.add(PHOTOS)
        await until(done, queue)

    run(scenario)
    assert looks == [PHOTOS]


def test_an_event_during_a_look_leads_to_another_and_never_to_two_at_once():
    looks, inside, done = [], threading.Semaphore(1), threading.Event()

    async def scenario():
        loop = asyncio.get_running_loop()

        def work(key):
            assert inside.acquire(blocking=False)
            looks.append(key)
            if len(looks) == 1:
                asyncio.run_coroutine_threadsafe(add(), loop).result(5)
            else:
                done.set()
            inside.release()

        queue = WorkQueue(work, workers=4)

        async def add():
            queue.add(PHOTOS)

        queue.add(PHOTOS)
        await until(done, queue)

    run(scenario)
    assert looks == [PHOTOS, PHOTOS]


def test_a_look_is_repeated_after_the_time_it_asks_for_and_forgotten_on_none():
    answers, done = [0.01, None], threading.Event()

    def work(_):
        answer = answers.pop(0)
        if answer is None:
            done.set()
        return answer

    async def scenario():
        await until(done, started(work))

    run(scenario)
    assert answers == []


def started(work):
    queue = WorkQueue(work, workers=1)
    queue.add(PHOTOS)
    return queue


def test_a_failed_look_is_repeated_after_a_growing_pause():
    async def scenario():
        done = threading.Event()

        def work(_):
            done.set()
            raise KubernetesError("refused")

        queue = started(work)
        await until(done, queue)
        assert queue._back_off(PHOTOS) > queue._failures[PHOTOS] - 1
        pauses = [queue._back_off(PHOTOS) for _ in range(10)]
        assert pauses == sorted(pauses)
        assert pauses[-1] == 60

    run(scenario)


def test_a_conflict_is_no_failure():
    async def scenario():
        done = threading.Event()

        def work(_):
            done.set()
            raise ConflictError("changed meanwhile")

        queue = started(work)
        await until(done, queue)
        assert queue._failures == {}

    run(scenario)


def test_one_stuck_object_does_not_stop_the_others():
    release, done = threading.Event(), threading.Event()

    def work(key):
        if key == PHOTOS:
            release.wait(5)
        else:
            done.set()

    async def scenario():
        queue = started(work)
        queue.workers = 2
        queue.add(("lab", "other"))
        await until(done, queue)
        release.set()

    run(scenario)
    assert done.is_set()


def test_a_stall_is_named():
    async def scenario():
        now = asyncio.get_running_loop().time()
        queue = started(lambda _: None)
        assert queue.stalled(now) == ""
        assert queue.stalled(now + STALL_SECONDS + 1).startswith("lab/photos has been waiting")

    run(scenario)
