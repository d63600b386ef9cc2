"""How PyTorch's side of `make bench` says what it timed: the same as timing.h."""
import resource
import statistics


def quantile(values, share):
    """The value that a share of the others lies below."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def timing_of(times, kinds=1, steps_each=1):
    """step_ms, steps and spread of `times` in seconds, each of `steps_each` steps.

    Where steps differ, `kinds` of them came in turn, from the first to the last and round again, and all were timed equally often: step_ms
    is the mean over the kinds of each one's median. spread: between the quartiles of the times, each divided by its kind's median.
    """
    medians = [statistics.median(times[kind::kinds]) for kind in range(kinds)]
    relative = [time / medians[i % kinds] for i, time in enumerate(times)]
    return {"step_ms": 1e3 * statistics.mean(medians) / steps_each, "steps": steps_each * len(times),
            "spread": quantile(relative, 0.75) - quantile(relative, 0.25)}


def peak_rss_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
