"""What Keras has and we do not, and where our signatures differ, each with the reason."""

from __future__ import annotations

QUANTISATION = "quantisation is torch's own, applied to a finished model"
JAX = "belongs to another backend"
DISTRIBUTION = "compile(data_parallel=...) and torch.distributed do this"
MACHINERY = "Keras's own machinery for several backends"
LATER = "not there yet"

# Names that Keras's modules have and ours do not.
MISSING: dict[str, dict[str, str]] = {
    "": {
        "FloatDTypePolicy": "found as kerasish.dtype_policies.FloatDTypePolicy",
        "Operation": "any function of tensors is one",
        "Quantizer": QUANTISATION,
        "RematScope": "torch.utils.checkpoint does this",
        "StatelessScope": MACHINERY,
        "SymbolicScope": MACHINERY,
        "name_scope": "names come from attributes, as in torch",
        "remat": "torch.utils.checkpoint does this",
    },
    "layers": {
        "FlaxLayer": JAX,
        "JaxLayer": JAX,
        "TFSMLayer": JAX,
    },
    "callbacks": {"OrbaxCheckpoint": "writes JAX's format"},
    "utils": {
        "get_source_inputs": "model.inputs",
        "disable_interactive_logging": "fit(verbose=) decides",
        "enable_interactive_logging": "fit(verbose=) decides",
        "is_interactive_logging_enabled": "fit(verbose=) decides",
    },
    "saving": {"KerasFileEditor": "edits Keras's files"},
    "config": {
        "disable_flash_attention": "torch.nn.attention.sdpa_kernel chooses",
        "enable_flash_attention": "torch.nn.attention.sdpa_kernel chooses",
        "is_flash_attention_enabled": "torch.nn.attention.sdpa_kernel chooses",
        "disable_interactive_logging": "fit(verbose=) decides",
        "enable_interactive_logging": "fit(verbose=) decides",
        "is_interactive_logging_enabled": "fit(verbose=) decides",
        "enable_unsafe_deserialization": "files never run code",
        "is_nnx_enabled": JAX,
        "set_backend": "there is one",
        "max_epochs": "fit(epochs=) decides",
        "max_steps_per_epoch": "fit(steps_per_epoch=) decides",
        "set_max_epochs": "fit(epochs=) decides",
        "set_max_steps_per_epoch": "fit(steps_per_epoch=) decides",
    },
    "dtype_policies": {
        "AWQDTypePolicy": QUANTISATION,
        "DTypePolicyMap": "give each layer its dtype=",
        "GPTQDTypePolicy": QUANTISATION,
        "Int4DTypePolicy": QUANTISATION,
        "QuantizedDTypePolicy": QUANTISATION,
        "QuantizedFloat8DTypePolicy": QUANTISATION,
    },
}

# Whole modules of Keras that are not there, or are tested for their names elsewhere.
MISSING_MODULES = {
    "applications": "pretrained networks are torchvision's, with names of their own tests",
    "datasets": "has names of its own tests",
    "distillation": LATER,
    "distribution": DISTRIBUTION,
    "export": "model.to_torch() and torch.export do this",
    "legacy": "outdated in Keras itself",
    "quantizers": QUANTISATION,
    "src": "Keras's private code",
    "visualization": LATER,
    "wrappers": LATER,
}

FORMAT_SETTING = "means the channel axis of the image setting, which is Keras's -1 by default there"
ALWAYS_TORCH = "there is one kind of data set: what torch's DataLoader takes"

# Arguments that Keras has and we do not; all of them are at the end of its lists.
ABSENT_ARGUMENTS: dict[str, dict[str, str]] = {
    **{
        f"{module}.timeseries_dataset_from_array": {"format": ALWAYS_TORCH}
        for module in ("preprocessing", "utils")
    },
    "utils.model_to_dot": {"splines": "the default of graphviz is taken"},
    "utils.plot_model": {"splines": "the default of graphviz is taken"},
    "models.save_model": {"zipped": "a model is one file"},
    "saving.save_model": {"zipped": "a model is one file"},
    "saving.save_weights": {"max_shard_size": "weights are one file"},
}

# Defaults that differ from Keras's: theirs, ours and the reason.
DEFAULTS: dict[str, dict[str, tuple]] = {
    "layers.BatchNormalization": {"axis": (-1, None, FORMAT_SETTING)},
    "layers.GroupNormalization": {"axis": (-1, None, FORMAT_SETTING)},
    "layers.Normalization": {"axis": (-1, "auto", FORMAT_SETTING)},
    "preprocessing.image.smart_resize": {
        "data_format": ("channels_last", None, "the setting for images decides")
    },
    **{
        f"{module}.{kind}_dataset_from_directory": {"format": ("tf", None, ALWAYS_TORCH)}
        for module in ("preprocessing", "utils")
        for kind in ("image", "text")
    },
    **{
        f"{module}.DTypePolicy": {"name": (None, "no default", "say which policy")}
        for module in ("dtype_policies", "mixed_precision")
    },
    "dtype_policies.FloatDTypePolicy": {"name": (None, "no default", "say which policy")},
    "mixed_precision.Policy": {"name": (None, "no default", "say which policy")},
}

# What Keras takes as `*args` or not at all, and ours by place.
OTHER_LISTS = {
    "callbacks.ProgbarLogger": "is our ProgressBar, whose only argument is `verbose`",
    "models.Sequential": "Keras hides the list of its constructor behind *args",
    "optimizers.Optimizer": "Keras hides the list of its constructor behind *args",
}

# Functions whose first argument has another name.
RENAMED = {
    "layers.serialize": "registry.serialize takes any object",
    "losses.deserialize": "the first argument is a config, not only a name",
}
