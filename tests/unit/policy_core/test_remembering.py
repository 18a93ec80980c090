"""What is remembered stays within its limit, whoever fills it, and what was put in first goes first."""

from concurrent.futures import ThreadPoolExecutor

from policy_core.remembering import Remembered, SeenOnce


def test_what_was_held_for_longest_is_forgotten_first():
    table = Remembered(2)

    for name in "abc":
        table.put(name, name.upper())
        table.get("a")

    assert [table.get(name) for name in "abc"] == [None, "B", "C"]


def test_all_entries_together_weigh_no_more_than_the_limit():
    table = Remembered(10)

    for number in range(20):
        table.put(number, "x", weight=3)
    table.put("large", "x", weight=9)

    assert len(table) == 1


def test_what_weighs_more_than_all_may_is_not_remembered_and_pushes_nothing_out():
    table = Remembered(2)
    table.put("a", 1)

    table.put("b", 2, weight=3)

    assert (table.get("a"), table.get("b")) == (1, None)


def test_the_same_entry_put_again_and_again_takes_the_place_of_others_only():
    table = Remembered(3)

    for _ in range(100):
        table.put("a", 1)

    assert (len(table), table.get("a")) == (1, 1)


def test_threads_that_fill_a_table_together_leave_it_within_its_limit():
    table = Remembered(100)

    def fill(start):
        for number in range(start, start + 20_000):
            table.put(number % 500, number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, range(0, 400, 100)))

    assert 0 < len(table) <= 100


def test_forgetting_everything_takes_steps_and_leaves_nothing():
    table = Remembered(1_000)
    for number in range(1_000):
        table.put(number, number)

    steps = list(table.forget())
    table.put("a", 1)

    assert len(steps) > 2
    assert (len(table), table.get("a"), table.get(999)) == (1, 1, None)


def test_what_was_put_in_last_is_told_first():
    table = Remembered(3)

    for name in "abcd":
        table.put(name, name)

    assert table.newest(2) == ["d", "c"]
    assert table.newest(9) == ["d", "c", "b"]


def test_what_comes_again_is_told_from_what_does_not() -> None:
    seen = SeenOnce(1_024)

    assert [seen.again(each) for each in (b"a", b"b", b"a", b"a", b"c")] == [False, False, True, True, False]


def test_what_shares_its_place_is_never_taken_for_something_that_came() -> None:
    seen = SeenOnce(1)

    assert [seen.again(each) for each in (b"a", b"b", b"a", b"a")] == [False, False, False, True]
