"""When our side counts as at least as good as PyTorch's."""
import math
import statistics


def as_good(ours, theirs, margin, lower_is_better=False):
    """Our runs' results against PyTorch's, one number for each seed: (verdict, by how much we are worse, how much is allowed).

    The means are compared; ours may be worse by the larger of `margin` and twice the standard error of the difference, which is
    sqrt(s₁² / n₁ + s₂² / n₂) with the deviations s of each side (n − 1 in the denominator; 0 of a single run).
    """
    worse = statistics.mean(theirs) - statistics.mean(ours)
    worse = -worse if lower_is_better else worse
    error = math.sqrt(sum(statistics.variance(side) / len(side) for side in (ours, theirs) if len(side) > 1))
    allowed = max(margin, 2 * error)
    return worse <= allowed, worse, allowed
