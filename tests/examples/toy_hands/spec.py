"""The registration: all that tools, tables and tests need to know."""

from dfmamba.datasets.spec import DatasetSpec, register_data_set
from dfmamba.evaluation.joints_json import JointsJSON
from dfmamba.evaluation.plain_protocol import plain_protocol
from dfmamba.skeleton import ONE_HAND

PROTOCOL = plain_protocol("toy_hands", "Toy hands", ONE_HAND)
RESULTS = JointsJSON("toy_hands", ONE_HAND.names).results()
SPEC = DatasetSpec(
    name="toy_hands",
    title="Toy hands",
    content="one right hand a picture",
    parsers=("toy_hands.dataset:parse_toy_hands",),
    adapters=("toy_hands.dataset:ToyHandsDataset",),
    functions=(),
    metric_name="dfmamba.evaluation.metrics:HandMetric",
    protocol_name="toy_hands.spec:PROTOCOL",
    results_name="toy_hands.spec:RESULTS",
    pred_formats="JSON of ours",
    gt_formats="nothing",
    joints="21, canonical",
    root="wrist",
    unit="mm",
    crop="1.2 times the joints' extent, times 1.25, made square",
)
register_data_set(SPEC)
