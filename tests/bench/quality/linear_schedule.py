"""A rate that rises, then falls in a straight line, as engine/optim/schedule.cc has it."""


def rate_factor(schedule, step, total):
    """Of the step, which counts from 0, among so many."""
    assert not set(schedule) - {"warmup_steps", "linear"} and "linear" in schedule, schedule
    warmup = schedule.get("warmup_steps", 0)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    share = min((step - warmup) / max(total - warmup - 1, 1), 1)
    return 1 + (schedule["linear"].get("final_factor", 0) - 1) * share
