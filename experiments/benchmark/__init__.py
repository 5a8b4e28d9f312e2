"""Measures, side by side in one process, what ours takes and what others take.

    ./run.sh benchmark --tokenizer=DIR
    ./run.sh benchmark --model=gpt2-medium --num_examples=8 --repeats=1
    ./run.sh benchmark --masks --model=gpt2-small
    ./run.sh benchmark --methods --model=gpt2-small
    ./run.sh benchmark --training
    ./run.sh benchmark --parts
    ./run.sh benchmark --host --data=DIR --tokenizer=DIR

Questions answered in a second, with random weights of the published shapes and stories
of 500 tokens, the same for all: ours, torch transformers one question at a time, torch
in sorted batches, and lm-evaluation-harness where it is installed. With --masks instead
what magnitude masks of all sparsities take, and what torch's l1_unstructured takes;
with --methods every criterion and update beside the same algorithm in torch;
with --training a training step beside torch's, and five tiny models beside five runs;
with --parts the parts of scoring that are written for CPUs, beside the plain ones;
with --host all that the host does for a question, and whether a device would wait.
"""


def main() -> None:
    from experiments.benchmark import job  # it takes seconds to import

    job.main()
