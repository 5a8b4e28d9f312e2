"""The benchmark runs, and reads its flags as every binary does."""

import re

from tests.experiments import binary


def start(place, *argv):
    line = ("-m", "experiments.benchmark", "--shape=gpt2-tiny", "--repeats=1", *argv)
    return binary.start(*line, cwd=place)


def test_ours_at_all_sparsities_and_torch_at_each(tmp_path):
    ended = start(tmp_path, "--sparsities=0.9,0.5")
    assert (ended.status, ended.stderr) == (0, "")
    _, header, *lines = ended.stdout.splitlines()
    assert header.split() == ["seconds", "spread", "of", "ours"]
    names = [re.split("  +", line)[0] for line in lines]
    assert names == ["ours, 2 sparsities", "torch, sparsity 0.5", "torch, sparsity 0.9"]


def test_sparsities_that_are_no_numbers_are_one_line(tmp_path):
    ended = start(tmp_path, "--sparsities=0.5,abc")
    remedy = "error: --sparsities=0.5,abc: give fractions such as 0,0.5,0.9\n"
    assert (ended.status, ended.stdout, ended.stderr) == (2, "", remedy)
