"""How the learning rate changes, as engine/optim/schedule.cc has it."""
import math


def rate_factor(schedule, step, total):
    """Of the step, which counts from 0, among so many: warm-up, then a cosine or nothing."""
    assert not set(schedule) - {"warmup_steps", "cosine"}, schedule
    warmup = schedule.get("warmup_steps", 0)
    if step < warmup:
        return (step + 1) / warmup
    if "cosine" not in schedule:
        return 1.0
    final = schedule["cosine"].get("final_factor", 0)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup - 1, 1)))
