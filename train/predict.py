"""Running a Keras network over rendered examples: final logits, every decision, verdicts."""

from __future__ import annotations

import keras  # type: ignore[import-untyped]
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shiftmcu.train.examples import Examples, Task, make_batch

__all__ = ["Logits", "judge", "predict", "stream_logits"]

Logits = dict[str, NDArray[np.float32]]


def predict(model: keras.Model, examples: Examples, hop_frames: int, batch: int = 128) -> Logits:
    """Logits in nats per head for every source (its first example), un-augmented."""
    task = Task({})
    order = np.argsort(examples.features.frames, kind="stable")
    parts: list[Logits] = []
    for start in range(0, order.size, batch):
        index = order[start : start + batch]
        padded = np.concatenate([index, np.repeat(index[-1:], batch - index.size)])
        inputs, _ = make_batch(examples, task, padded, hop_frames)
        logits = model.predict_on_batch(inputs)
        parts.append({k: np.asarray(v)[: index.size] for k, v in logits.items()})
    back = np.argsort(order, kind="stable")
    return {k: np.concatenate([p[k] for p in parts])[back] for k in parts[0]}


def stream_logits(
    model: keras.Model, examples: Examples, hop_frames: int, batch: int = 64
) -> list[Logits]:
    """Logits at every decision of every source: by head, (decisions, classes)."""
    pool = model.get_layer("pool")
    heads = [layer for layer in model.layers if layer.name.startswith("head_")]
    back_bone = keras.Model(model.input["features"], pool.input[0])
    lengths = examples.features.frames
    order = np.argsort(lengths, kind="stable")
    found: dict[int, Logits] = {}
    for start in range(0, order.size, batch):
        index = order[start : start + batch]
        inputs, _ = make_batch(examples, Task({}), index, hop_frames)
        pooled = pool.sliding(ops.convert_to_tensor(back_bone.predict_on_batch(inputs["features"])))
        logits = {head.name: ops.convert_to_numpy(head(pooled)) for head in heads}
        for row, i in enumerate(index):
            count = int(lengths[i]) // hop_frames
            found[int(i)] = {name: value[row, :count] for name, value in logits.items()}
    return [found[i] for i in range(order.size)]


def judge(
    logits: Logits, examples: Examples, task: Task, command_weight: float
) -> tuple[float, float, float]:
    """(loss, accuracy, command accuracy) of validation logits."""
    classes = examples.classes[examples.features.source, : len(task.slots)]
    is_command = classes[:, 0] >= 0
    named = {slot: logits[f"head_{slot}"] for slot in task.slots}
    right = (task.forced(named) == classes).all(axis=1)[is_command]
    accepted = logits["head_command"].argmax(axis=1) == 1
    shares = [float(np.mean(accepted[is_command]))]
    if not is_command.all():
        shares.append(float(np.mean(~accepted[~is_command])))
    loss = command_weight * _mean_nll(logits["head_command"], is_command.astype(np.int64))
    for k, slot in enumerate(task.slots):
        loss += _mean_nll(named[slot][is_command], classes[is_command, k])
    return loss, float(np.mean(right)), float(np.mean(shares))


def _mean_nll(logits: NDArray[np.float32], classes: NDArray[np.integer]) -> float:
    top = logits.max(axis=1, keepdims=True)
    log_total = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return float(np.mean(log_total - logits[np.arange(classes.size), classes]))
