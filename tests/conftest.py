"""Settings shared by all tests."""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import pytest
import torch

import kerasish

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed():
    """Every test starts from the same random state and default settings."""
    torch.manual_seed(0)
    yield
    kerasish.config.set_floatx("float32")
    kerasish.config.set_image_data_format("channels_first")
    if "torch._dynamo" in sys.modules:
        # It compiles one function for eight models of a process, and then no more.
        torch._dynamo.reset()


def pytest_terminal_summary(terminalreporter):
    """Say how many configurations of how many layers were compared with Keras."""
    passed = [
        report.nodeid.split("[", 1)[1].split("-", 1)[0]
        for report in terminalreporter.stats.get("passed", [])
        if "test_parity.py::test_a_configuration_equals_keras[" in report.nodeid
    ]
    if passed:
        terminalreporter.write_line(
            f"parity: {len(passed)} configurations of {len(set(passed))} layers equal Keras's"
        )
