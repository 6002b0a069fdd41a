"""Which status writes go first, and how long the others wait."""

from __future__ import annotations

from taskq.domain.actions import Note, WriteStatus
from taskq.domain.model import Key
from taskq.domain.write_queue import STAND_BACK_SECONDS, WriteQueue

NOW = 1_000.0
PULL = Note(reason="ImagePullFailed", message="no such image", warning=True)


def write(uid: str, phase: str, note: Note | None = None) -> WriteStatus:
    """A write of this phase."""
    return WriteStatus(task=Key("default", uid), uid=uid, version="1", status={"phase": phase}, note=note)


def queue_of(*writes: WriteStatus) -> WriteQueue:
    """A queue in which these were wanted one second after the other."""
    queue = WriteQueue()
    for second, wanted in enumerate(writes):
        queue.decided(wanted.uid, wanted, NOW + second)
    return queue


def test_what_says_only_running_waits_until_no_launch_does() -> None:
    """It costs the API server more than a launch, and nobody needs it at once."""
    queue = queue_of(write("a", "Running"), write("b", "Succeeded"), write("c", "Running", PULL))
    assert [w.uid for w in queue.take_urgent(8)] == ["b", "c"]
    assert not list(queue.take_minor(8, NOW + 3, peace=False))
    assert [w.uid for w in queue.take_minor(8, NOW + 3, peace=True)] == ["a"]


def test_it_does_not_wait_for_ever() -> None:
    """A queue that launches without a pause still shows what runs."""
    queue = queue_of(write("a", "Running"), write("b", "Running"))
    assert [w.uid for w in queue.take_minor(8, NOW + STAND_BACK_SECONDS, peace=False)] == ["a"]


def test_a_new_decision_keeps_the_time_of_the_first_wish() -> None:
    """Else events of its Job could put it off for ever."""
    queue = queue_of(write("a", "Running"))
    queue.decided("a", write("a", "Running"), NOW + STAND_BACK_SECONDS - 1)
    assert [w.uid for w in queue.take_minor(8, NOW + STAND_BACK_SECONDS, peace=False)] == ["a"]


def test_only_the_newest_wish_is_written() -> None:
    """An end replaces Running, and a Task that wants nothing any more gets nothing."""
    queue = queue_of(write("a", "Running"), write("b", "Failed"), write("c", "Failed"))
    queue.decided("a", write("a", "Succeeded"), NOW + 3)
    queue.decided("b", None, NOW + 3)
    queue.drop("c")
    assert [(w.uid, w.status["phase"]) for w in queue.take_urgent(8)] == [("a", "Succeeded")]
    assert not list(queue.take_minor(8, NOW + 60, peace=True))


def test_no_more_is_taken_than_there_is_room_for() -> None:
    """The rest stays for the next pass."""
    queue = queue_of(*(write(uid, "Succeeded") for uid in "abc"))
    assert not list(queue.take_urgent(0))
    assert [w.uid for w in queue.take_urgent(2)] == ["a", "b"]
    assert [w.uid for w in queue.take_urgent(2)] == ["c"]


def test_what_is_only_for_the_record_makes_way_for_what_changes_something() -> None:
    """Ten thousand Tasks that waited for the same one write down how it ended: no end of another waits for that."""
    queue = queue_of(write("a", "Pending"), write("b", "Pending"), write("c", "Succeeded"))
    assert [w.uid for w in queue.take_urgent(2)] == ["c", "a"]
    assert [w.uid for w in queue.take_urgent(2)] == ["b"]
