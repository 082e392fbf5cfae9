"""Values whose few bytes name billions of items."""

import time

import pytest

from dfmamba.io.limits import ContentError, check_expansion


def naming_each_other(depth, container=tuple):
    value = container([1])
    for _ in range(depth):
        value = container([value, value])
    return value


def walk(value):
    """Count items in the plain way, each as often as it is named."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return sum(1 + walk(child) for child in value) if isinstance(value, list | tuple | set) else 0


@pytest.mark.parametrize(
    "value",
    [
        5,
        "text",
        [],
        {},
        [1, 2, [3]],
        {"a": (1, {2}), 5: [[]]},
        naming_each_other(6),
        (lambda shared: [shared, [shared], {"a": shared}])([1, 2, 3]),
    ],
)
def test_limit_is_the_number_of_items(value):
    check_expansion(value, max_items=max(walk(value), 1))
    if walk(value):
        with pytest.raises(ContentError, match=f"at most {walk(value) - 1} items"):
            check_expansion(value, max_items=walk(value) - 1)


@pytest.mark.parametrize("container", [tuple, list, lambda items: dict(enumerate(items))])
def test_exponential_value_takes_no_time(container):
    start = time.perf_counter()
    with pytest.raises(ContentError, match="items, got more"):
        check_expansion(naming_each_other(31, container))
    with pytest.raises(ContentError, match="at most 32 containers in one another"):
        check_expansion(naming_each_other(60, container))
    assert time.perf_counter() - start < 1


def test_value_that_contains_itself():
    value = []
    value.append({"a": [value]})
    with pytest.raises(ContentError, match="contains itself"):
        check_expansion(value)
