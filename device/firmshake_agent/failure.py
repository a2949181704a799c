"""What a stage of the ladder raises when it fails, and the verdict's written form. Does no I/O."""


class Failure(Exception):
    """A stage failed: stage, step (TLS only, else ""), cause, and the evidence as a dict."""

    def __init__(
        self, stage: str, cause: str, evidence: "dict[str, object]", step: str = ""
    ) -> None:
        super().__init__(stage, cause)
        self.stage = stage
        self.step = step
        self.cause = cause
        self.evidence = evidence


def verdict(stage: str, step: str, cause: str) -> str:
    """`stage/cause`, or `tls.step/cause`."""
    return (stage + "." + step if step else stage) + "/" + cause
