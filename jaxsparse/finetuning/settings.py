"""How a model is trained back, beside what `Training` says: numbers, each with the
default with which the documents' table was made."""

from dataclasses import dataclass, field

from jaxsparse.types import InputError, Presentation

STOP_ON = ("accuracy", "loss")
FROM_ONE = "batch_questions", "story_windows", "story_tokens", "rank", "patience"
FROM_ZERO = (
    "mask_every", "evaluate_every", "checkpoint_every", "part_tokens", "at_once",
    "warmup", "weight_decay",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Numbers of a training. What is 0 is chosen by the number of steps.

    Raises:
        InputError: one that is out of its range.
    """

    presentation: Presentation = field(default_factory=Presentation)
    batch_questions: int = 16  # of a step
    story_windows: int = 16  # of a step, of objectives lm and both
    story_tokens: int = 128  # of a window
    rank: int = 16  # of masklora's adapters
    mask_every: int = 0  # steps, of schedule=gradual; 0: a twentieth of them
    evaluate_every: int = 60  # steps; 0: half of them
    checkpoint_every: int = 0  # steps; 0: whenever it is evaluated
    patience: int = 3  # evaluations without a gain, after which training stops
    stop_on: str = "accuracy"  # one of STOP_ON, of the validation questions
    warmup: float = 0.1  # of the steps
    weight_decay: float = 0.01
    clip: float = 1.0  # global norm of the gradient
    remat: bool = False  # layers are computed again for their gradient
    part_tokens: int = 0  # rows x length whose gradient is taken at once; 0: the form's
    at_once: int = 0  # variants trained in one call; 0: what suits the device

    def __post_init__(self):
        if self.stop_on not in STOP_ON:
            raise InputError(
                f"`stop_on={self.stop_on}`: choose one of {', '.join(STOP_ON)}"
            )
        for least, names in (1, FROM_ONE), (0, FROM_ZERO):
            for name in names:
                if not least <= (value := getattr(self, name)) < float("inf"):
                    raise InputError(f"`{name}={value}`: at least {least}")
        if self.warmup > 1:
            raise InputError(f"`warmup={self.warmup}`: a fraction of the steps")
        if not self.clip > 0:
            raise InputError(f"`clip={self.clip}`: a number above 0")

    def growing_every(self, steps: int) -> int:
        """Steps between two decisions on masks."""
        return self.mask_every or max(steps // 20, 1)

    def evaluating_every(self, steps: int) -> int:
        """Steps between two exams."""
        return self.evaluate_every or max(-(-steps // 2), 1)
