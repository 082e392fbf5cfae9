import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from dfmamba.synthesis.output import work


def square(number):
    return number * number


def die_at_three(number):
    if number == 3:
        os._exit(1)  # as if the kernel had ended it for want of memory
    return number


def fail_at_three(number):
    if number == 3:
        raise RuntimeError("three")
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers):
    seen = []
    assert work(square, range(20), workers, seen.append) == [n * n for n in range(20)]
    assert seen == [n * n for n in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_task_arrives(workers):
    with pytest.raises(RuntimeError, match="three"):
        work(fail_at_three, range(5), workers, lambda result: None)


def test_a_process_that_dies_ends_the_work():
    with pytest.raises(BrokenProcessPool):
        work(die_at_three, range(5), 2, lambda result: None)


def test_at_least_one_worker():
    with pytest.raises(ValueError, match="workers"):
        work(square, range(3), 0, lambda result: None)
