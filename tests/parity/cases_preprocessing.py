"""Layers that prepare data and have no randomness: scales, codes, sizes, spectra."""

from __future__ import annotations

from tests.parity.case import Values, grid, one
from tests.parity.cases_convolution import FORMATS

TOKENS = Values((3, 4), high=5)
IMAGES = {"channels_last": (2, 8, 6, 3), "channels_first": (2, 3, 8, 6)}

CASES = [
    *grid("Rescaling", (2, 3), scale=[0.5, 1 / 255], offset=[0.0, -1.0]),
    one("Rescaling", (2, 4, 4, 3), scale=[1.0, 2.0, 3.0], offset=[0.0, 1.0, -1.0]),
    *grid(
        "Normalization",
        (4, 3),
        axis=[-1],
        mean=[[1.0, 2.0, 3.0]],
        variance=[[4.0, 2.0, 1.0]],
        invert=[False, True],
    ),
    one("Normalization", (2, 4, 4, 3), axis=-1, mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0]),
    one("Normalization", (4, 3), axis=None, mean=1.0, variance=2.0),
    *grid("CategoryEncoding", TOKENS, num_tokens=[5, 6], output_mode=["multi_hot", "count"]),
    one("CategoryEncoding", Values((4, 1), high=5), num_tokens=5, output_mode="one_hot"),
    *grid(
        "Discretization",
        (3, 4),
        bin_boundaries=[[-0.5, 0.0, 0.5]],
        output_mode=["int", "multi_hot", "count", "one_hot"],
    ),
    *(
        case
        for data_format in FORMATS
        for case in (
            *grid(
                "Resizing",
                IMAGES[data_format],
                height=[4, 12],
                width=[5],
                interpolation=["bilinear", "nearest"],
                data_format=[data_format],
            ),
            *grid(
                "Resizing",
                IMAGES[data_format],
                height=[4],
                width=[6],
                crop_to_aspect_ratio=[False, True],
                antialias=[True],
                data_format=[data_format],
            ),
            one(
                "Resizing",
                IMAGES[data_format],
                height=4,
                width=6,
                pad_to_aspect_ratio=True,
                fill_value=0.3,
                data_format=data_format,
            ),
            *grid(
                "CenterCrop",
                IMAGES[data_format],
                height=[4, 5, 10],
                width=[3, 6],
                data_format=[data_format],
            ),
        )
    ),
    *grid(
        "STFTSpectrogram",
        (2, 64, 1),
        mode=["log", "magnitude", "psd", "real", "imag", "angle", "stft"],
        frame_length=[16],
        frame_step=[8],
        padding=["valid", "same"],
        data_format=["channels_last"],
    ),
    *grid(
        "STFTSpectrogram", (2, 64, 1), frame_length=[16], scaling=["spectrum"], expand_dims=[True]
    ),
    *grid(
        "MelSpectrogram",
        (2, 400),
        fft_length=[64],
        sequence_stride=[32],
        sampling_rate=[800],
        num_mel_bins=[8],
        max_freq=[400],
        power_to_db=[False, True],
    ),
]
