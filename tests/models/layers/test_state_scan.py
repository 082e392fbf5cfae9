"""The states of the scan against the recurrence, token by token."""

import pytest
import torch
from torch.nn import functional as F

from dfmamba.models.layers import read_states, scan_states
from dfmamba.ops import selective_scan


@pytest.mark.parametrize("num_states", [1, 3])
@pytest.mark.parametrize("axes", [(4,), (2, 3)])
def test_states_are_the_recurrence(num_states, axes):
    torch.manual_seed(0)
    u, delta = torch.randn(2, 2, 7, *axes, dtype=torch.double)
    A, bias = -torch.rand(*axes, num_states, dtype=torch.double) - 0.1, torch.randn(*axes, dtype=torch.double)
    B = torch.randn(2, 7, *axes, num_states, dtype=torch.double)
    states = scan_states(u, delta, A, B, bias)
    h = torch.zeros(2, *axes, num_states, dtype=torch.double)
    for t in range(7):
        step = F.softplus(delta[:, t] + bias).unsqueeze(-1)
        h = torch.exp(step * A) * h + step * B[:, t] * u[:, t].unsqueeze(-1)
        torch.testing.assert_close(states[:, t], h)


@pytest.mark.parametrize("num_states", [1, 5])
def test_states_read_out_are_the_operator(num_states):
    torch.manual_seed(0)
    u, delta = torch.randn(2, 2, 9, 4)
    A, bias = -torch.rand(4, num_states), torch.randn(4)
    B, C = torch.randn(2, 2, 9, num_states)
    y = read_states(scan_states(u, delta, A, B.unsqueeze(2), bias), C.unsqueeze(2), num_states)
    torch.testing.assert_close(y, selective_scan(u, delta, A, B, C, None, bias))
