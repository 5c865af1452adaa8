from __future__ import annotations

import numpy as np
import pytest
import torch

from smoothcert.errors import InvalidArgumentError
from smoothcert.sampling.inputs import check_input, check_input_range

UNIT = (0.0, 1.0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_inputs_become_contiguous_float32(dtype):
    x = np.linspace(0, 1, 24).astype(dtype).reshape(2, 3, 4).transpose(2, 0, 1)
    x.setflags(write=False)
    tensor = check_input(x, input_range=UNIT)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert np.array_equal(tensor.numpy(), x.astype(np.float32))


def test_arrays_of_another_byte_order_are_taken():
    assert check_input(np.array([0.0, 0.5], ">f4"), input_range=UNIT).tolist() == [0.0, 0.5]


def test_lists_and_tensors_with_gradients_are_taken():
    assert check_input([0.0, 0.5], input_range=UNIT).tolist() == [0.0, 0.5]
    assert not check_input(torch.rand(3, requires_grad=True), input_range=UNIT).requires_grad


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 4, 4), np.uint8), r"floating-point dtype; got torch.uint8; divide images by 255"),
        (torch.zeros(3, dtype=torch.uint8), "divide images by 255"),
        (torch.zeros(3, dtype=torch.int64), r"floating-point dtype; got torch.int64$"),
        (np.zeros(3, bool), "got torch.bool"),
        (np.array(["a"]), "floats; got dtype <U1"),
        (np.zeros(3, complex), "floats; got dtype complex128"),
        (np.zeros((0, 3)), r"at least one value; got shape \(0, 3\)"),
        (0.5, r"at least one value; got shape \(\)"),
        (torch.zeros(2, 3).to_sparse(), "dense tensor of floats; got one that is sparse_coo"),
        (torch.zeros(3, device="meta"), "dense tensor of floats; got one that is meta"),
        (np.ma.masked_array([0.0, 0.5], mask=[True, False]), "masked array with values masked"),
        (
            (torch.zeros(3, 4, 4), torch.tensor([0])),
            r"got a tuple of parts of several shapes",
        ),
        ([torch.zeros(3, 4, 4), torch.zeros(3, 5, 5)], "an array or tensor of floats; got a list of parts"),
        (iter([]), "floats; got a list_iterator"),
        (None, "floats; got a NoneType"),
        ([0.0, 1.0000001], "got values 1.2e-07 beyond it, as rounding leaves them"),
        ([0.0, float("nan")], "finite; got 1 of 2 values"),
        ([0.0, float("inf")], "finite; got 1 of 2 values"),
        ([0.0, 1.5], r"lie in \[0, 1\]; got values from 0 to 1.5"),
        ([-0.1, 0.5], r"got values from -0.1 to 0.5.*input_range"),
    ],
)
def test_unusable_inputs_say_what_is_wrong(x, message):
    with pytest.raises(InvalidArgumentError, match=message):
        check_input(x, input_range=UNIT)


def test_other_domains_are_allowed_when_declared():
    assert check_input([-3.0, 7.0], input_range=None).tolist() == [-3.0, 7.0]
    assert check_input([-3.0, 7.0], input_range=(-5, 10)).tolist() == [-3.0, 7.0]
    with pytest.raises(InvalidArgumentError, match="finite"):
        check_input([float("nan")], input_range=None)


@pytest.mark.parametrize("bad", [(1.0, 0.0), (0.0, float("nan")), 3, (1, 2, 3), ("a", "b")])
def test_input_range_must_be_a_range(bad):
    with pytest.raises(InvalidArgumentError, match="input_range must be"):
        check_input_range(bad)
