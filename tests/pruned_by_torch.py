"""The oracle of pruning: a tiny torch model, and which of its modules are prunable."""

from tests import tiny
from tests.oracle import Conv1D, torch


def untie_head(model):
    """Gives a torch model a head of its own, equal to the embedding."""
    head = model.get_output_embeddings()
    if head is not None:
        head.weight = torch.nn.Parameter(head.weight.detach().clone())


def in_blocks(name):
    return any(part in name for part in (".h.", "encoder.layer.", ".block."))


def torch_prunable(model, prunable):
    """The modules that DESIGN's prunable sets name, by torch's own types."""
    kinds = (torch.nn.Linear, Conv1D) + (torch.nn.Embedding,) * (prunable == "all")
    modules = [
        module
        for name, module in model.named_modules()
        if isinstance(module, kinds)
        and (prunable != "blocks" or (in_blocks(name) and "relative" not in name))
    ]
    return list({id(module.weight): module for module in modules}.values())


def torch_model(variant, prunable):
    model = tiny.torch_model(variant)
    if prunable != "blocks":
        untie_head(model)
    return model, torch_prunable(model, prunable)
