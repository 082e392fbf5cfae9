"""Parameter groups with the same settings as one group.

mmengine makes a group for each parameter as soon as there is `paramwise_cfg`. An optimizer walks over its groups in
Python and starts its kernels anew for each: with 150 groups a step of a small model took 1.1 times as long on a CPU as
with 3. The arithmetic of a parameter does not depend on its group, so trainings stay the same to the last bit.
"""

from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch.optim import Optimizer

Members = list[list[int]]  # for each group, the numbers of those that it was made of


class MergedGroups:
    """The groups of a training's optimizers, merged; and how to read the state of one whose groups are not.

    Args:
        wrapper: What the runner has built. Its optimizers have not taken a step yet. Optimizers that are not torch's
            own stay as they are: they may have looked at their groups already.
    """

    def __init__(self, wrapper: OptimWrapper | OptimWrapperDict) -> None:
        wrappers = dict(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else {"": wrapper}
        self._members = {name: _merge(one.optimizer) for name, one in wrappers.items()}

    def of_state(self, state: Any) -> Any:
        """Return the state of `optim_wrapper.state_dict()` with merged groups, if it has those of before the merge."""
        if "" in self._members:
            return _merged_state(state, self._members[""])
        if not isinstance(state, dict):
            return state
        return {name: _merged_state(one, self._members.get(name, [])) for name, one in state.items()}


def group_sizes(state: Any) -> Any:
    """Return how many parameters the groups of an optimizer's state have; of several optimizers, by name."""
    if isinstance(state, dict) and "param_groups" in state:
        return [len(group.get("params", ())) for group in state["param_groups"]]
    return {name: group_sizes(one) for name, one in state.items()} if isinstance(state, dict) else None


def _merge(optimizer: Optimizer) -> Members:
    """Merge the groups of an optimizer; return which made which."""
    groups: list[dict[str, Any]] = optimizer.param_groups
    if not type(optimizer).__module__.startswith("torch.optim"):
        return [[number] for number in range(len(groups))]
    members: dict[str, list[int]] = {}
    for number, group in enumerate(groups):
        settings = repr(sorted((key, value) for key, value in group.items() if key != "params"))
        members.setdefault(settings, []).append(number)
    optimizer.param_groups = [
        {**groups[numbers[0]], "params": [weight for number in numbers for weight in groups[number]["params"]]}
        for numbers in members.values()
    ]
    return list(members.values())


def _merged_state(state: Any, members: Members) -> Any:
    """Return an optimizer's state with merged groups; any other than that of the groups before as it is."""
    before = sum(len(numbers) for numbers in members)
    sizes = group_sizes(state)
    if not isinstance(sizes, list) or len(sizes) != before or before == len(members):
        return state
    old_groups, groups = state["param_groups"], []
    of_parameter: dict[int, int] = {}  # the new number of each parameter
    for numbers in members:
        first = len(of_parameter)
        for number in numbers:
            for parameter in old_groups[number]["params"]:
                of_parameter[parameter] = len(of_parameter)
        groups.append({**old_groups[numbers[0]], "params": list(range(first, len(of_parameter)))})
    values = {of_parameter[parameter]: value for parameter, value in state["state"].items()}
    return {**state, "state": values, "param_groups": groups}
