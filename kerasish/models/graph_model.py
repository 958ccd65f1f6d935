"""Models made of recorded calls: their layers, their generated forward function, their twin."""

from __future__ import annotations

import keyword
import re
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from kerasish.describe import describe
from kerasish.graph.build import compile_graph, identifier, nodes_between, readable_code, to_fx
from kerasish.graph.expand import BoundFunction, expand, expanded_graph, has_hooks
from kerasish.graph.flat import flatten_graph, restore_graph
from kerasish.graph.symbolic import Node, SymbolicTensor, is_symbolic, map_nested, symbolic_leaves
from kerasish.layers.base import Layer
from kerasish.layers.core import InputLayer
from kerasish.layers.holder import added_losses
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.lora import LoraLinear
from kerasish.layers.weights import KerasWeight
from kerasish.models.layer_list import around_networks
from kerasish.models.model import Model
from kerasish.models.twin import torch_twin

# What is made from the graph when first needed, and what the graph itself consists of.
_GENERATED = ("_graph", "_function", "_masked_function", "_short", "_first")
_SYMBOLIC = ("_input_structure", "_output_structure", "_input_list", "_placeholder", "_tensors")


class GraphModel(Model):
    """A model whose forward is generated from the nodes between its inputs and its outputs.

    `model.code` shows it; `model.graph` is the same as a `torch.fx.Graph`.
    """

    supports_masking = True
    _preprocessing: Any = None
    _first: Any = None

    def _set_graph(self, inputs: Any, outputs: Any) -> None:
        """Make the model compute `outputs` from `inputs`, both structures of symbolic tensors.

        The function is generated when it is first needed: adding layers one by one is cheap.
        """
        self._input_structure, self._output_structure = inputs, outputs
        self._input_list: list[Any] = list(symbolic_leaves(inputs))
        self._input_dtypes = [tensor.dtype for tensor in self._input_list]
        self._is_single = inputs is self._input_list[0]
        if self._is_single:
            self.input_spec = InputSpec(shape=inputs.shape)
        self.takes_integers = not self._input_dtypes[0].is_floating_point
        self._graph: fx.Graph | None = None
        self._function: Any = None
        self._masked_function: Any = None
        self._constants: list[Tensor] = []
        self._short: tuple[int, BoundFunction] | None = None
        self._first = None

    @property
    def preprocessing(self) -> Any:
        """How raw images are made ready, such as an `applications.ImagePreprocessing`, or `None`.

        Images of uint8 are raw: `fit`, `evaluate`, `predict` and calls of the model make floats of
        them by it. Floats are taken as they are. A model whose first layer is a model with
        preprocessing has the same.
        """
        layer = self._modules.get("preprocessing")  # somebody's own, under the same name
        return self._image_reader() if layer is None else layer

    @preprocessing.setter
    def preprocessing(self, value: Any) -> None:
        if value is not None and not (hasattr(value, "arrange") and hasattr(value, "open")):
            raise TypeError(
                f'"{self.name}".preprocessing makes raw images ready: expected an object such as '
                f"applications.ImagePreprocessing, got {describe(value)}. Keep a layer under "
                "another name."
            )
        self.__dict__["_preprocessing"] = value

    def _image_reader(self) -> Any:
        if self._preprocessing is not None or self.__dict__.get("_output_structure") is None:
            return self._preprocessing
        if self._first is None:
            calls = self.nodes
            target = calls[0].target if calls and len(self._input_list) == 1 else None
            # In a tuple: as an attribute by itself, it would be registered once more.
            self.__dict__["_first"] = (target if isinstance(target, GraphModel) else None,)
        inner = self.__dict__["_first"][0]
        return None if inner is None else inner._image_reader()

    def _require_graph(self) -> None:
        if self.__dict__.get("_output_structure") is None:
            raise AttributeError(
                f'{type(self).__name__} "{self.name}" has no graph yet: its input shape is not '
                "known. Add an Input first, call the model on data, or build(input_shape)."
            )

    @property
    def inputs(self) -> list[Any]:
        """The symbolic inputs, flat."""
        self._require_graph()
        return list(self._input_list)

    @property
    def outputs(self) -> list[Any]:
        """The symbolic outputs, flat."""
        self._require_graph()
        return list(symbolic_leaves(self._output_structure))

    @property
    def nodes(self) -> list[Node]:
        """The recorded calls between inputs and outputs, in order."""
        return nodes_between(self.inputs, self._output_structure)

    @property
    def graph(self) -> fx.Graph:
        """The model as a `torch.fx.Graph`."""
        self._require_graph()
        if self._graph is None:
            self._compile_graph()
        assert self._graph is not None
        return self._graph

    @property
    def has_output_masks(self) -> bool:
        """Whether any output has a mask, which losses and metrics then respect."""
        leaves = symbolic_leaves(self.__dict__.get("_output_structure"))
        return any(getattr(leaf, "mask", None) is not None for leaf in leaves)

    def _compile_graph(self) -> None:
        self._require_graph()
        self._graph = self._fx_graph(self._output_structure)
        self._function = compile_graph(self._graph, self.name)
        if self.has_output_masks:
            masks = map_nested(lambda leaf: leaf.mask, self._output_structure)
            both = self._fx_graph((self._output_structure, masks))
            self._masked_function = compile_graph(both, self.name)

    def _fx_graph(self, outputs: Any) -> fx.Graph:
        keys = {id(module): key for key, module in self._modules.items()}
        return to_fx(self._input_list, outputs, lambda module: keys[id(module)], self._constant_key)

    def _register_layer(self, module: nn.Module) -> None:
        name = getattr(module, "name", None) or identifier(type(module).__name__)
        # A layer called "output" or "loss" must not hide the model's own attribute of that name.
        taken = hasattr(type(self), name) or name in self.__dict__ or keyword.iskeyword(name)
        # The key becomes source text between double quotes, and the name may come from a file.
        is_safe = name.isprintable() and not set(name) & set('"\\')
        key = f"{name}_layer" if taken else name if is_safe else identifier(name)
        if self._modules.get(key, module) is not module:
            raise ValueError(
                f"Two layers are named '{name}' in the model \"{self.name}\"; "
                "give one of them another `name`."
            )
        self._modules[key] = module

    def _constant_key(self, tensor: Tensor) -> str:
        for index, known in enumerate(self._constants):
            if known is tensor:
                return f"constant_{index}"
        self._constants.append(tensor)
        key = f"constant_{len(self._constants) - 1}"
        if key not in self._buffers:
            if vars(tensor).pop("is_cut_off", False):  # said once
                warnings.warn(
                    f'Model "{self.name}": a tensor of shape {tuple(tensor.shape)} was computed '
                    "outside the model from weights that train. The model keeps its numbers, and "
                    "those weights are not trained. To train them, compute it in the call() of a "
                    "layer of your own.",
                    stacklevel=2,
                )
            self.register_buffer(key, tensor)
        return key

    def own_weights(self) -> list[KerasWeight]:
        """Those that the class itself adds; constants of the graph are no weights, as in Keras."""
        keys = (key for key in self._buffers if re.fullmatch(r"constant_\d+", key))
        constants = {id(self._buffers[key]) for key in keys}
        return [weight for weight in super().own_weights() if id(weight.tensor) not in constants]

    def forward(self, *inputs: Any) -> Any:
        """Run the generated function on tensors arranged as the model's inputs are."""
        if self._function is None:
            self._compile_graph()
        return self._function(self, *self._arrange(inputs))  # type: ignore[misc]

    def shortest_forward(self) -> Callable[[Any], Any]:
        """`self(x)` for one tensor of the declared type, without the calls of layers around it.

        Layers whose code is straight are opened into the torch modules they call; with hooks on
        them, they are called as they are. Good for as long as no module is replaced and no hook
        added.
        """
        modules = list(self.modules())
        layers = [m for m in modules if isinstance(m, Layer)]
        if not self._is_single or has_hooks(modules) or _may_share_losses(layers):
            return self
        version = sum(layer._version for layer in layers if layer is not self)
        if self._short is None or self._short[0] != version:
            try:
                outputs = expand(self._input_list, self._output_structure, _may_open)
            except Exception:
                # A layer of the user's own may give another shape in this mode than when the model
                # was made; layers that are called as they are take it as it comes.
                return self
            graph = expanded_graph(self, self._input_list, outputs)
            self._short = (version, BoundFunction(graph, self, self.name))
        function = self._short[1].bound_to(self)
        model, dtype = self, self._input_dtypes[0]

        def forward(x: Any) -> Any:
            if type(x) is not Tensor:
                return model(x)  # such as a dict of the one input
            try:
                return function(x if x.dtype is dtype else model._arrange((x,))[0])
            except Exception:
                model(x)  # the layers' own calls explain which of them failed, and why
                raise

        return forward

    @staticmethod
    def opens(module: nn.Module) -> bool:
        """Whether the shortest way through the model opens a module, as `shortest_forward` does."""
        return _may_open(module)

    def forward_with_masks(self, *inputs: Any) -> tuple[Any, Any]:
        """The outputs, and their masks in the same structure (`None` where there is none)."""
        if self._function is None:
            self._compile_graph()
        if self._masked_function is None:
            return self.forward(*inputs), None
        return self._masked_function(self, *self._arrange(inputs))

    def _arrange(self, inputs: tuple) -> list[Any] | tuple[Any, ...]:
        """Flatten one structure, or several positional tensors, into the placeholders' order."""
        if len(inputs) != 1 or len(self._input_list) != 1 or not hasattr(inputs[0], "dtype"):
            inputs = self._flatten(inputs)
        x, want = inputs[0], self._input_dtypes[0]
        if x.dtype is torch.uint8 and len(inputs) == 1:
            images = self._image_reader()
            x = x if images is None else images(x)
            inputs = (x,)
        if len(inputs) == 1 and (x.dtype is want or _is_wide_enough(x, want)):
            return inputs
        return [
            x if x.dtype is want or _is_wide_enough(x, want) else _cast(x, want, self.name)
            for x, want in zip(inputs, self._input_dtypes, strict=True)
        ]

    def fit_inputs(self, x: Any) -> Any:
        """Data as the model takes it: one input without a name, rows of one number as columns.

        As in Keras, an axis of size 1 at the end may be missing, or be there in excess.
        """
        if self.__dict__.get("_output_structure") is None:
            return x
        images = self._image_reader() if self._is_single and is_raw(x) else None
        x = x if images is None else images.arrange(x)
        flat = self._flatten((x,))
        ranked = [_with_rank(t, ref) for t, ref in zip(flat, self._input_list, strict=True)]
        if self._is_single:
            return ranked[0]
        return x if all(a is b for a, b in zip(flat, ranked, strict=True)) else ranked

    def _open_inputs(self, x: Any, lazily: bool = False) -> Any:
        images = self._image_reader()
        return x if images is None else images.open(x, lazily=lazily)

    def _call_in_full(self, args: tuple, kwargs: dict) -> Any:
        if len(args) == 1 and isinstance(args[0], Tensor) and self.built and self._is_single:
            args = (_with_rank(args[0], self._input_list[0]),)
        return super()._call_in_full(args, kwargs)

    def _flatten(self, inputs: tuple) -> tuple[Any, ...]:
        value = inputs[0] if len(inputs) == 1 else inputs
        names = [tensor.name for tensor in self.inputs]
        structure = self._input_structure
        if isinstance(value, dict):
            keys = list(structure) if isinstance(structure, dict) else names
            missing = [key for key in keys if key not in value]
            if missing:
                raise ValueError(
                    f'Model "{self.name}" expects inputs named {keys}, got {list(value)}; '
                    f"missing: {missing}."
                )
            value = [value[key] for key in keys]
        flat = tuple(_leaves(value))
        if len(flat) != len(self.inputs):
            raise ValueError(
                f'Model "{self.name}" expects {len(self.inputs)} inputs ({", ".join(names)}), '
                f"got {describe(inputs[0] if len(inputs) == 1 else inputs)}."
            )
        return flat

    @property
    def code(self) -> str:
        """The generated `forward` as Python source."""
        return readable_code(self.graph)

    @property
    def layers(self) -> list[Layer]:
        """The input layers, then the layers in the order of their calls."""
        found = [t.node.target for t in self.inputs if isinstance(t.node.target, InputLayer)]
        found += [node.target for node in self.nodes if isinstance(node.target, Layer)]
        return around_networks(list(dict.fromkeys(found)))

    @property
    def input(self) -> Any:
        """The symbolic input, or the structure of them."""
        return self._input_structure

    @property
    def output(self) -> Any:
        """The symbolic output, or the structure of them."""
        return self._output_structure

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or a structure of shapes."""
        return map_nested(lambda t: t.shape, self._input_structure)

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or a structure of shapes."""
        return map_nested(lambda t: t.shape, self._output_structure)

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""
        return [tensor.name for tensor in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that give the outputs."""
        return [_owner(tensor) for tensor in self.outputs]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The masks of the outputs, recorded as calls on symbolic inputs."""
        if not self.has_output_masks:
            return None
        flat = self._flatten((inputs,))
        known = {id(t.node): value for t, value in zip(self.inputs, flat, strict=True)}
        masks = [leaf.mask for leaf in self.outputs]
        replay(nodes_between(self.inputs, masks), known)
        return [
            None if leaf.mask is None else known[id(leaf.mask.node)]
            for leaf in self.outputs
            if isinstance(leaf, SymbolicTensor)
        ]

    def graph_module(self) -> fx.GraphModule:
        """The model as a `torch.fx.GraphModule` that shares its layers."""
        return fx.GraphModule(self, self.graph)

    def to_torch(self) -> nn.Module:
        """A twin made of nothing but `torch.nn`, with the same outputs and state_dict keys.

        It shares the weights; `copy.deepcopy` gives one of its own. Randomness and statistics work
        in training too where they come from torch's own modules; the stored variance of a batch
        normalisation is then torch's, the unbiased one.
        """
        return torch_twin(self)

    def __getstate__(self) -> dict[str, Any]:
        # Functions are generated again from the nodes: they cannot travel to another process.
        state = {**super().__getstate__(), **dict.fromkeys(_GENERATED)}
        graph = {key: state.pop(key) for key in _SYMBOLIC if key in state}
        state["_flat"] = flatten_graph(graph, self.__dict__.get("_input_list", ()))
        if is_symbolic(self._init_arguments):
            state["_init_arguments"] = ((), {})
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        graph, nodes = restore_graph(state.pop("_flat"))
        super().__setstate__({**state, **graph})
        for node in nodes:
            if isinstance(node.target, InputLayer):
                node.target.tensor = node.outputs
            if isinstance(node.target, Layer):
                node.target._nodes.append(node)
        if nodes:
            self._compile_graph()


# torch modules that are one functional call on their own parameters. Exact types only: a
# parametrised or quantised module has a class of its own.
_OPEN_TORCH = (nn.Linear, LoraLinear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Identity, nn.ReLU)


def _may_share_losses(layers: list[Layer]) -> bool:
    """Whether layers that may add losses are called several times in one call of the model.

    Only within a call of the model itself do such losses add up; by itself, each call of an inner
    model forgets those of the call before.
    """
    return added_losses.any and any(len(x._nodes) > 1 and not x.is_transparent for x in layers)


def _may_open(module: nn.Module) -> bool:
    if not isinstance(module, Layer):
        return type(module) in _OPEN_TORCH
    if not module.is_transparent:
        return False
    if module._takes_half:
        return False
    return module.dtype_policy.name == "float32" and module.activity_regularizer is None


def replay(nodes: list[Node], known: dict[int, Any]) -> None:
    """Call every node again on the values in `known` (by node identity), adding its result."""
    for node in nodes:
        if id(node) in known:
            continue

        def fill(value: Any) -> Any:
            return known[id(value.node)] if hasattr(value, "node") else value

        known[id(node)] = node.target(*map_nested(fill, node.args), **map_nested(fill, node.kwargs))


def is_raw(x: Any) -> bool:
    """Whether data are images as they come, not made ready for a network: bytes."""
    return isinstance(x, Tensor) and x.dtype is torch.uint8


def _owner(tensor: SymbolicTensor) -> str:
    """The name of the layer an output comes from, through the items of tuple results."""
    node = tensor.node
    while not isinstance(node.target, nn.Module) and not node.is_input:
        parents = list(node.parents())
        if node.name != "getitem" or not parents:
            break
        node = parents[0].node
    return node.name


def _is_wide_enough(x: Any, want: torch.dtype) -> bool:
    """Whether a tensor may stay as it is; inside torch.autocast a half type is as intended."""
    if not (x.dtype.is_floating_point and want.is_floating_point):
        return False
    if x.dtype.itemsize >= want.itemsize:
        return True
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)


def _cast(x: Any, want: torch.dtype, name: str) -> Any:
    if x.dtype.is_complex and not want.is_complex:
        raise ValueError(
            f'Model "{name}" takes {str(want)[6:]}, got complex numbers of shape '
            f"{tuple(x.shape)}, whose imaginary part would be lost. Pass abs(x), or real and "
            "imaginary parts as two channels."
        )
    return x.to(want)


def _with_rank(x: Any, reference: SymbolicTensor) -> Any:
    rank, wanted = len(x.shape), len(reference.shape)
    if rank == wanted - 1 and reference.shape[-1] == 1:
        return x.unsqueeze(-1)
    if rank == wanted + 1 and x.shape[-1] == 1:
        return x.squeeze(-1)
    return x


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _leaves(item)]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    return [value]
