"""A GPU that computes nothing: tensors on it know shape, type and device, and no numbers.

Such tensors refuse to be mixed with those of the CPU, as real ones do. `Watch` finds what makes the
host wait for a GPU: reading a number from it, and copies of memory that is not pinned.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.optim.optimizer as torch_optimizer
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from kerasish.data.arrays import map_leaves
from kerasish.metrics import Metric
from kerasish.optimizers import direct
from kerasish.training import step as steps
from kerasish.variables import Variable

aten = torch.ops.aten
GPU = torch.device("cuda", 0)
WAITING = (aten.nonzero.default, aten.bincount.default, aten.masked_select.default)


class FakeVariable(Variable, FakeTensor):
    """A variable on the fake GPU."""

    __torch_dispatch__ = FakeTensor.__torch_dispatch__

    def __new__(cls, *args, **kwargs):
        return FakeTensor.__new__(cls, *args, **kwargs)


class FakeGenerator(torch.Generator):
    """A generator, wherever it is wanted."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls, "cpu")


class Watch(TorchDispatchMode):
    """Fills `waits` with what the host would wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is aten._to_copy.default and kwargs.get("device") is not None:
            crosses = args[0].device.type != torch.device(kwargs["device"]).type
            self.note(func, crosses and not kwargs.get("non_blocking"))
        elif func is aten.copy_.default:
            self.note(func, args[0].device != args[1].device and True not in args[2:])
        elif func in (aten.index_put_.default, aten.index_put.default, aten.index.Tensor):
            indices = [i for i in args[1] if i is not None]
            self.note(func, any(i.dtype is torch.bool or i.device.type == "cpu" for i in indices))
        elif func is aten._local_scalar_dense.default:
            self.note(func, args[0].device.type == "cuda")
            return 1.0 if args[0].is_floating_point() else 1
        else:
            self.note(func, func in WAITING)
        return func(*args, **kwargs)

    def note(self, func: Any, waits: bool) -> None:
        if waits:
            self.waits.append(str(func))


def variable_of(cls, tensor, name=None, *, path=None, trainable=False, is_parameter=False):
    """`Variable.of`, which takes tensors of the fake GPU, too."""
    if not isinstance(tensor, FakeTensor):
        return real_variable(
            cls, tensor, name, path=path, trainable=trainable, is_parameter=is_parameter
        )
    made: Any = tensor.detach()
    made.__class__ = FakeVariable
    made.requires_grad_(trainable and tensor.is_floating_point())
    made._is_param, made._label = is_parameter, name or "variable"
    made._path = path or made._label
    return made


real_variable = Variable.of.__func__  # type: ignore[attr-defined]
move_metric = Metric.to


def metric_to(self: Metric, device: Any) -> Metric:
    """`Metric.to`, after which fake state knows where it is."""
    move_metric(self, device)
    for variable in self._variables:
        if isinstance(variable, FakeTensor):
            variable.fake_device = torch.empty(0, device=device).device
    return self


def no_backward(device: torch.device) -> Any:
    """Gradients without a backward pass, for which torch asks for a driver."""

    def backward(loss: torch.Tensor) -> None:
        assert loss.device == GPU
        assert loss.dim() == 0
        for parameter in backward.parameters:
            parameter.grad = torch.empty_like(parameter)

    backward.parameters = no_backward.parameters
    return backward


no_backward.parameters = []


def start(monkeypatch: pytest.MonkeyPatch) -> FakeTensorMode:
    """Let torch believe in a GPU for the time of a test."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(FakeTensorMode, "avoid_device_init", property(lambda self: True))
    for name, value in {
        "_lazy_init": None,
        "is_available": True,
        "current_device": 0,
        "is_bf16_supported": True,
        "get_device_capability": (9, 0),
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *args, value=value, **kwargs: value)
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)
    monkeypatch.setattr(torch, "Generator", FakeGenerator)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(Variable, "of", classmethod(variable_of))
    monkeypatch.setattr(Metric, "to", metric_to)
    monkeypatch.setattr(direct, "can_fuse", lambda p: all(t.is_floating_point() for t in p))
    monkeypatch.setattr(steps, "backward_on", no_backward)
    types = [*torch_optimizer._foreach_supported_types, FakeTensor, FakeVariable]  # type: ignore[attr-defined]
    monkeypatch.setattr(torch_optimizer, "_foreach_supported_types", types)
    mode = FakeTensorMode()
    try:
        with mode:
            torch.empty(1).to("cuda")
    except Exception as error:
        pytest.skip(f"torch makes no fake GPU tensors: {error}")
    return mode


def fake(mode: FakeTensorMode, value: Any, device: Any = GPU) -> Any:
    """A structure of tensors on the fake GPU."""

    def on_gpu(tensor: Any) -> Any:
        if not isinstance(tensor, torch.Tensor):
            return tensor
        size, stride, dtype = tensor.size(), tensor.stride(), tensor.dtype
        with mode:
            return torch.empty_strided(size, stride, dtype=dtype, device=device)

    return map_leaves(on_gpu, value)


def put(mode: FakeTensorMode, module: torch.nn.Module, device: Any = GPU) -> Any:
    """Move a built module to the fake GPU. Returns it."""
    made: dict[int, torch.Tensor] = {}
    for part in module.modules():
        for store in (part._parameters, part._buffers):
            for name, tensor in store.items():
                if tensor is not None:
                    if id(tensor) not in made:
                        made[id(tensor)] = _put_one(mode, tensor, device)
                    store[name] = made[id(tensor)]  # type: ignore[assignment]
        if hasattr(part, "_looked_at_range"):
            part._looked_at_range = True  # a look at the first batch, once
    return module


def _put_one(mode: FakeTensorMode, tensor: Any, device: Any) -> torch.Tensor:
    moved: Any = fake(mode, tensor.detach(), device)
    if isinstance(tensor, Variable):
        learns, is_parameter = tensor.requires_grad, tensor._is_param
        moved = Variable.of(
            moved, tensor.name, path=tensor.path, trainable=learns, is_parameter=is_parameter
        )
    elif isinstance(tensor, torch.nn.Parameter):
        with mode:
            moved = torch.nn.Parameter(moved, tensor.requires_grad)
    for name, value in vars(tensor).items():
        if name not in vars(moved):
            setattr(moved, name, value)
    return moved


def put_metric(mode: FakeTensorMode, metric: Metric) -> None:
    """Let a metric's state be fake, and on the CPU, where it begins."""
    for place, variable in enumerate(metric._variables):
        other = Variable.of(fake(mode, variable.detach(), "cpu"), variable.name, path=variable.path)
        metric._variables[place] = other
        for name, value in list(vars(metric).items()):
            if value is variable:
                setattr(metric, name, other)
    for part in metric._parts():
        put_metric(mode, part)
