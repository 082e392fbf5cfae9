"""What happens to a faulty record: raise, or count and go on."""

from mmengine.logging import MMLogger

RECORD_ERROR_POLICIES = ("raise", "skip")
FAULTY = "faulty record"  # the name under which they are counted
MAX_LOGGED = 5


class RecordErrorPolicy:
    """What happens to faulty records: the error is raised, or counted and the first few logged.

    Args:
        policy: 'raise' or 'skip'.

    Raises:
        ValueError: There is no such policy.
    """

    def __init__(self, policy: str = "raise") -> None:
        if policy not in RECORD_ERROR_POLICIES:
            raise ValueError(f"faulty: expected one of {RECORD_ERROR_POLICIES}, got {policy!r}")
        self.policy = policy
        self.count = 0

    def add(self, error: Exception) -> None:
        """Raise the error of a faulty record, or count it."""
        if self.policy == "raise":
            raise error
        self.count += 1
        if self.count <= MAX_LOGGED:
            more = "; further ones are only counted" if self.count == MAX_LOGGED else ""
            MMLogger.get_current_instance().warning(f"skipped a {FAULTY}: {error}{more}")

    @property
    def skipped(self) -> dict[str, int]:
        """The count by reason, as `AnnotationColumns.skipped` wants it; empty without faults."""
        return {FAULTY: self.count} if self.count else {}
