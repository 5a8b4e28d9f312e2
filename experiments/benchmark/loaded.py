"""A process that loads one model and answers the benchmark's questions, and prints how
much anonymous memory it held at most, in bytes.

Takes a JSON list: directory, execution, and of the questions data, number, tokens and
seed.
"""

import json
import sys

from experiments.benchmark import questions
from experiments.benchmark.measuring import peak_memory
from experiments.benchmark.ours import Ours
from jaxsparse.model import load_model


def main() -> None:
    directory, execution, data, number, tokens, seed = json.loads(sys.argv[1])
    with peak_memory() as peak:
        model = load_model(directory, execution=execution)
        asked = (
            questions.bundled(model.tokenizer, tokens, number, seed)
            if data is None
            else questions.read(data, number)
        )
        ours = Ours.of(model, 0, 1)
        ours.score(ours.plan(asked))
    print(peak.bytes)


if __name__ == "__main__":
    main()
