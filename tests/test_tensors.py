"""Tensors as safetensors: every type and every way of lying in memory comes back the same."""

import json

import pytest
import torch

from kerasish.config import dtype_name
from kerasish.saving.files import ArchiveError
from kerasish.saving.tensors import (
    STORABLE,
    decode_tensors,
    encode_tensors,
    read_tensors,
    write_tensors,
)


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def there_and_back(tensors):
    return decode_tensors(encode_tensors(tensors))


@pytest.mark.parametrize("dtype", sorted(STORABLE, key=str), ids=dtype_name)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)], ids=str)
def test_every_dtype_and_shape_comes_back_bit_for_bit(dtype, shape):
    size = torch.empty(shape, dtype=dtype).nbytes
    raw = torch.arange(size, dtype=torch.uint8) % (2 if dtype == torch.bool else 251)
    tensor = raw.view(dtype).reshape(shape)

    back = there_and_back({"t": tensor})["t"]

    assert back.dtype == dtype
    assert back.shape == tensor.shape
    assert torch.equal(back.reshape(-1).view(torch.uint8), raw)


LAID_OUT = {
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "strided": torch.arange(10.0)[::3],
    "broadcast": torch.ones(1).expand(4),
    "part of a larger one": torch.arange(100.0)[10:12],
    "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "conjugate": torch.complex(torch.ones(2), torch.ones(2)).conj(),
    "negative": torch.complex(torch.ones(2), torch.ones(2)).conj().imag,
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "needs a gradient": torch.ones(2, requires_grad=True) * 2,
}


@pytest.mark.parametrize("case", LAID_OUT)
def test_values_come_back_however_they_lie_in_memory(case):
    tensor = LAID_OUT[case]

    back = there_and_back({"t": tensor})["t"]

    assert torch.equal(back, tensor.detach())
    assert type(back) is torch.Tensor
    assert not back.requires_grad
    assert back.is_contiguous()


def test_part_of_a_large_tensor_stores_only_the_part():
    part = torch.zeros(1_000_000)[:2]

    assert len(encode_tensors({"t": part})) < 200


def test_tied_tensors_are_stored_once_and_come_back_tied():
    weight = torch.randn(1000)

    data = encode_tensors({"a": weight, "b": weight.detach(), "c": torch.nn.Parameter(weight)})
    back = decode_tensors(data)

    assert len(data) < 4400
    assert back["a"] is back["b"]
    assert back["a"] is back["c"]
    assert torch.equal(back["a"], weight)


def test_overlapping_views_come_back_as_separate_values():
    base = torch.arange(6.0)
    views = {"all": base, "head": base[:3], "tail": base[2:], "matrix": base.view(2, 3)}

    back = there_and_back(views)

    assert all(torch.equal(back[name], view) for name, view in views.items())
    assert back["all"].data_ptr() != back["head"].data_ptr()


def test_same_bytes_of_another_type_are_not_taken_for_tied():
    ints = torch.tensor([1, 2], dtype=torch.int32)

    back = there_and_back({"ints": ints, "floats": ints.view(torch.float32)})

    assert back["ints"].dtype == torch.int32
    assert back["floats"].dtype == torch.float32


def test_empty_tensors_are_not_taken_for_tied():
    back = there_and_back({"a": torch.empty(0), "b": torch.empty(0, 3)})

    assert back["a"].shape == (0,)
    assert back["b"].shape == (0, 3)


def test_any_text_is_a_name():
    tensors = {name: torch.tensor(i) for i, name in enumerate(["", "a/b", "ü", "format", "pt"])}

    back = there_and_back(tensors)

    assert {name: tensor.item() for name, tensor in back.items()} == {
        "": 0, "a/b": 1, "ü": 2, "format": 3, "pt": 4,
    }  # fmt: skip


def test_read_tensors_own_their_memory_and_can_be_written_to():
    tensor = torch.ones(3)
    back = there_and_back({"t": tensor})["t"]

    back += 1

    assert tensor.sum() == 3


REFUSED = {
    "not a tensor": ([1.0], "expected a tensor, got list"),
    "sparse": (torch.eye(3).to_sparse(), "to_dense"),
    "meta": (torch.ones(2, device="meta"), "meta device"),
    "complex128": (torch.ones(2, dtype=torch.complex128), "no complex128"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_format_lacks_is_refused_by_name(case):
    value, words = REFUSED[case]

    with pytest.raises(TypeError, match=f"Cannot store 'layer.kernel': .*{words}"):
        encode_tensors({"layer.kernel": value})


# Files


def test_file_is_one_that_safetensors_reads(tmp_path):
    from safetensors.torch import load_file

    weight = torch.randn(2, 3)
    write_tensors(tmp_path / "w.safetensors", {"weight": weight})

    assert torch.equal(load_file(tmp_path / "w.safetensors")["weight"], weight)


def test_file_that_safetensors_wrote_is_read(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(2)}, tmp_path / "w.safetensors", {"made_by": "somebody"})

    assert read_tensors(tmp_path / "w.safetensors").keys() == {"weight"}


def test_tied_weights_that_safetensors_wrote_come_back(tmp_path):
    from safetensors.torch import save_model

    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[1].weight = model[0].weight
    save_model(model, str(tmp_path / "w.safetensors"))

    back = read_tensors(tmp_path / "w.safetensors")

    assert back.keys() == model.state_dict().keys()
    assert back["0.weight"] is back["1.weight"]


def test_pickle_and_archive_and_damage_are_refused(tmp_path):
    path = tmp_path / "w"
    write_tensors(path, {"w": torch.ones(8)})
    whole = path.read_bytes()
    cases = {b"\x80\x04N.": "pickle", whole[:-1]: "damaged", whole + b"x": "damaged", b"": "empty"}

    for data, words in cases.items():
        path.write_bytes(data)
        with pytest.raises(ArchiveError, match=words):
            read_tensors(path)


def test_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_tensors(tmp_path / "none")


def test_old_file_stays_when_a_tensor_is_refused(tmp_path):
    path = tmp_path / "w"
    write_tensors(path, {"w": torch.ones(2)})

    with pytest.raises(TypeError):
        write_tensors(path, {"w": torch.ones(2, device="meta")})

    assert torch.equal(read_tensors(path)["w"], torch.ones(2))
    assert names_in(tmp_path) == ["w"]


def test_alias_to_a_missing_tensor_is_left_out():
    header = json.dumps({"__metadata__": {"a": "absent", "format": "pt"}}).encode()

    assert decode_tensors(len(header).to_bytes(8, "little") + header) == {}


def test_a_tensor_made_of_other_tensors_is_refused_by_name():
    from torch.testing._internal.two_tensor import TwoTensor

    with pytest.raises(TypeError, match="Cannot store 'w': TwoTensor is another library's kind"):
        encode_tensors({"w": TwoTensor(torch.ones(2), torch.ones(2))})
