"""The label sets: the paper's six emotions, and the four that SER work usually compares on (section 4.2)."""

LABELS: tuple[str, ...] = ("angry", "fear", "happy", "neutral", "sad", "surprise")
FOUR: tuple[str, ...] = ("angry", "happy", "neutral", "sad")
