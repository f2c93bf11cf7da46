"""The books of a pool, without a pool: what is lost is done again, what is late is given twice,
what fails is counted.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kemb.encoding.executors.desk import LEAST_SECONDS, Desk


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def desk(n: int, clock: Clock | None = None) -> Desk:
    return Desk([(number,) for number in range(n)], clock or Clock())


def test_what_a_lost_member_had_comes_first_and_in_order() -> None:
    books = desk(5)
    assert [books.take("a"), books.take("a"), books.take("b")] == [(0,), (1,), (2,)]
    books.put_back("a")
    assert [books.take("b") for _ in range(4)] == [(0,), (1,), (3,), (4,)]
    assert books.in_hand("b") == [(2,), (0,), (1,), (3,), (4,)]
    assert books.take("b") is None
    assert not books.is_clear


def test_failures_are_counted_by_parcel_and_losses_are_not_failures() -> None:
    books = desk(2)
    for expected in (1, 2, 3):
        books.take("a")
        assert books.is_again((0,)) == (expected > 1)
        books.put_back("a")
        assert books.take("b") == (0,)
        assert books.is_again((0,))
        assert books.fail((0,), "b") == expected
    books.take("a"), books.take("a")
    assert books.fail((1,), "a") == 1


def test_a_late_parcel_goes_to_a_second_member_once_and_the_first_answer_counts() -> None:
    clock = Clock()
    books = desk(2, clock)
    books.take("slow"), books.take("fast")
    clock.now = 1.0
    assert books.finish((1,))
    assert books.take_again("fast") is None
    clock.now = LEAST_SECONDS + 1
    assert books.take_again("slow") is None
    assert books.take_again("fast") == (0,)
    assert books.take_again("third") is None
    assert books.finish((0,))
    assert not books.finish((0,))
    assert books.is_clear


def test_a_parcel_that_two_have_waits_again_only_when_both_are_lost() -> None:
    clock = Clock()
    books = desk(1, clock)
    books.take("a")
    clock.now = LEAST_SECONDS + 1
    books.take_again("b")
    books.put_back("a")
    assert books.take("c") is None
    books.put_back("b")
    assert books.take("c") == (0,)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["take", "finish", "lose"]))))
def test_no_parcel_is_lost_and_none_is_in_two_places(moves: list[tuple[str, str]]) -> None:
    books, finished = desk(6), set()
    for member, move in moves:
        if move == "take":
            books.take(member)
        elif move == "lose":
            books.put_back(member)
        elif hold := books.in_hand(member):
            assert books.finish(hold[0])
            finished.add(hold[0])
    for member in "abc":
        books.put_back(member)
    left = []
    while (parcel := books.take("z")) is not None:
        left.append(parcel)
    assert sorted([*left, *finished]) == [(number,) for number in range(6)]
