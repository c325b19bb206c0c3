from pathlib import Path

import pytest
import tensorflow as tf

from trainer.telemetry import traces
from trainer.telemetry.traces import covered, own_seconds


def test_time_inside_an_op_is_not_its_own() -> None:
    events = [
        ("outer", 0.0, 10.0),
        ("inner", 1.0, 4.0),
        ("innermost", 2.0, 3.0),
        ("inner", 5.0, 6.0),
        ("after", 10.0, 12.0),
    ]
    found = sorted(own_seconds(reversed(events)))
    assert found == [("after", 2.0), ("inner", 1.0), ("inner", 2.0), ("innermost", 1.0), ("outer", 6.0)]


def test_time_covered_is_counted_once() -> None:
    assert covered([(4.0, 5.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.6)]) == 4.0
    assert covered([]) == 0.0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("conv1/Conv2D:_MklNativeConv2D", "MklNativeConv2D"),
        ("Sum:Sum", "Sum"),
        ("ExecutorState::Process", ""),
        ("EagerLocalExecute: __inference_f_14", ""),
        ("train", ""),
    ],
)
def test_an_op_is_told_from_other_events_by_its_name(name: str, kind: str) -> None:
    assert traces._kind(name) == kind


def test_a_real_trace_has_its_steps_and_ops(tmp_path: Path) -> None:
    @tf.function(autograph=False)
    def step(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.linalg.matmul(x, x))

    x = tf.ones([200, 200])
    step(x)
    tf.profiler.experimental.start(str(tmp_path))
    for number in range(3):
        with tf.profiler.experimental.Trace("train", step_num=number, _r=1):
            step(x)
    tf.profiler.experimental.stop()
    (path,) = tmp_path.rglob("*.xplane.pb")
    trace = traces.read(path.read_bytes(), "train")
    assert trace.steps == 3
    assert 0 < trace.busy <= trace.calls
    products = [op for op in trace.ops if "MatMul" in op.kind]
    assert [op.count for op in products] == [3]
    assert [op.seconds for op in trace.ops] == sorted((op.seconds for op in trace.ops), reverse=True)
