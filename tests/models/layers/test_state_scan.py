"""The states of the scan against the recurrence, token by token."""

import pytest
import torch
from torch.nn import functional as F

from dfmamba.models.layers.state_scan import read_states, scan_states
from dfmamba.ops import selective_scan


@pytest.mark.parametrize("d_state", [1, 3])
@pytest.mark.parametrize("axes", [(4,), (2, 3)])
def test_states_are_the_recurrence(d_state, axes):
    torch.manual_seed(0)
    u, delta = torch.randn(2, 2, 7, *axes, dtype=torch.double)
    A, bias = -torch.rand(*axes, d_state, dtype=torch.double) - 0.1, torch.randn(*axes, dtype=torch.double)
    B = torch.randn(2, 7, *axes, d_state, dtype=torch.double)
    states = scan_states(u, delta, A, B, bias)
    h = torch.zeros(2, *axes, d_state, dtype=torch.double)
    for t in range(7):
        step = F.softplus(delta[:, t] + bias).unsqueeze(-1)
        h = torch.exp(step * A) * h + step * B[:, t] * u[:, t].unsqueeze(-1)
        torch.testing.assert_close(states[:, t], h)


@pytest.mark.parametrize("d_state", [1, 5])
def test_states_read_out_are_the_operator(d_state):
    torch.manual_seed(0)
    u, delta = torch.randn(2, 2, 9, 4)
    A, bias = -torch.rand(4, d_state), torch.randn(4)
    B, C = torch.randn(2, 2, 9, d_state)
    y = read_states(scan_states(u, delta, A, B.unsqueeze(2), bias), C.unsqueeze(2), d_state)
    torch.testing.assert_close(y, selective_scan(u, delta, A, B, C, None, bias))
