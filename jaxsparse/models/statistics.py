"""A model taken apart, so that calibration can see what enters its linear layers, and
what its sublayers make of it.

Blocks run one by one, each with leaves of its own, and what lies around the stacks runs
by itself; an interceptor keeps the inputs. No model is changed for it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from jaxsparse.device import Form
from jaxsparse.models.family import Family, Stack, Sublayer
from jaxsparse.trees import unflatten
from jaxsparse.types import Array, Leaves

# Path of a linear layer, without /kernel -> what it is given; in the order of calls.
LinearInputs = dict[str, Float[Array, "row position in"]]


@contextmanager
def keeping_inputs(of: type[nn.Module] = nn.Dense) -> Iterator[LinearInputs]:
    """Keeps what every linear layer, or module of another kind, is given while modules
    are applied."""
    kept: LinearInputs = {}

    def keep(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        if isinstance(context.module, of) and context.method_name == "__call__":
            kept["/".join(context.module.path)] = args[0]
        return call(*args, **kwargs)

    with nn.intercept_methods(keep):
        yield kept


@dataclass(frozen=True)
class Parts:
    """The parts of a model of one configuration: pure functions, to be jitted.

    Whatever is computed and not used falls away when they are. `params` are the whole
    model's, `leaving` has the hidden states that came out of the stacks that were run
    (path of the stack -> hidden states).
    """

    family: Family
    config: Any
    dtype: str
    form: Form

    @property
    def stacks(self) -> tuple[Stack, ...]:
        return self.family.stacks(self.config)

    def entering(
        self, stack: Stack, params: Leaves, inputs: Any, leaving: Leaves
    ) -> tuple[Float[Array, "row position hidden"], tuple[Any, ...]]:
        """The hidden states that enter a stack, and what its blocks are given beside
        them; the stacks before it were run."""
        _, entering = self._apply(params, inputs, leaving)
        *parents, name = stack.path.split("/")
        for parent in parents:
            entering = entering[parent]
        return entering[f"into_{name}"]

    def block(
        self,
        stack: Stack,
        params: Leaves,
        leaves: Leaves,
        layer: Int[Array, ""],
        inputs: Any,
        leaving: Leaves,
        hidden: Float[Array, "row position hidden"],
    ) -> tuple[Float[Array, "row position hidden"], LinearInputs]:
        """One layer of a stack.

        Args:
            leaves: the layer's own, by full path, not stacked.
            hidden: what enters it.

        Returns:
            what leaves it, and the inputs of its linear layers.
        """
        block = stack, params, leaves, layer, inputs, leaving, hidden
        return self._block(nn.Dense, *block)

    def behind(
        self, sublayer: Sublayer, stack: Stack, *block: Any
    ) -> Float[Array, "row position hidden"]:
        """The hidden states behind one of a block's sublayers; otherwise as `block`."""
        hidden, kept = self._block(nn.Module, stack, *block)
        return kept[f"{stack.path}/{sublayer.before}"] if sublayer.before else hidden

    def _block(
        self,
        of: type[nn.Module],
        stack: Stack,
        params: Leaves,
        leaves: Leaves,
        layer: Int[Array, ""],
        inputs: Any,
        leaving: Leaves,
        hidden: Float[Array, "row position hidden"],
    ) -> tuple[Float[Array, "row position hidden"], LinearInputs]:
        """What leaves a block, and the inputs of its modules of one kind."""
        _, context = self.entering(stack, params, inputs, leaving)
        block: Any = stack.block(self.config, self.form, parent=None)
        prefix = f"{stack.path}/"
        own = {path.removeprefix(prefix): leaf for path, leaf in leaves.items()}
        with self._precision(), keeping_inputs(of) as kept:
            hidden, _ = block.apply(
                {"params": unflatten(own)}, hidden, layer, None, *context
            )
        return hidden, {f"{prefix}{path}": given for path, given in kept.items()}

    def linear_inputs(
        self, params: Leaves, inputs: Any, leaving: Leaves
    ) -> LinearInputs:
        """The inputs of linear layers; those of stacks that `leaving` lacks must not be
        used outside, but their order is that in which they run."""
        with keeping_inputs() as kept:
            self._apply(params, inputs, leaving)
        return kept

    def attended(self, path: str, inputs: Any) -> Bool[Array, "row position"]:
        """Which inputs of a linear layer belong to real tokens; or, of a stack's path
        with a slash behind it, which of its hidden states do."""
        for stack in self.stacks:
            inner = path.removeprefix(f"{stack.path}/")
            if inner != path:
                return stack.attended(inputs, inner)
        return inputs.attended

    def _apply(self, params: Leaves, inputs: Any, leaving: Leaves) -> tuple[Any, Any]:
        module = self.family.module(
            self.config, jnp.dtype(self.dtype), self.form, everywhere=True
        )
        variables = {"params": unflatten(params), "leaving": unflatten(leaving)}
        with self._precision():
            outputs, sown = module.apply(variables, inputs, mutable=["entering"])
        return outputs, sown["entering"]

    def _precision(self) -> Any:
        highest = self.dtype == "float32"
        return jax.default_matmul_precision("highest" if highest else "default")
