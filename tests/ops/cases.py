"""Calls of every operation: name -> list of (args, kwargs), arrays as NumPy's."""

import numpy as np

rng = np.random.default_rng(0)


def floats(*shape, low=-2.0, high=2.0):
    return rng.uniform(low, high, shape).astype("float32")


X = floats(2, 3, 4)
Y = floats(2, 3, 4)
POSITIVE = floats(2, 3, low=0.1, high=3.0)
UNIT = floats(2, 3, low=-0.9, high=0.9)
INTS = rng.integers(-5, 6, (2, 3)).astype("int32")
COUNTS = rng.integers(1, 9, (2, 3)).astype("int32")
BITS = rng.integers(0, 100, (2, 3)).astype("int32")
BOOLS = np.array([[True, False, True], [False, False, True]])
VECTOR = floats(6)
MATRIX = floats(3, 4)
SQUARE = floats(2, 3, 3)
SPD = SQUARE @ SQUARE.transpose(0, 2, 1) + 2 * np.eye(3, dtype="float32")
HOLES = np.array([[1.0, np.nan, 3.0, 0.5], [np.nan, -2.0, 4.0, 1.5]], "float32")
SPECIAL = np.array([-np.inf, np.inf, np.nan, 0.0, -0.0, 1.5], "float32")
COMPLEX = (floats(2, 3) + 1j * floats(2, 3)).astype("complex64")
IMAGES = floats(2, 7, 9, 3, low=0.0, high=1.0)
VOLUME = floats(1, 5, 6, 7, 2)
SEQUENCE = floats(2, 9, 3)
LOGITS = floats(4, 5)
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
ONE_HOT = np.eye(5, dtype="float32")[[0, 3, 2, 4]]


def call(*args, **kwargs):
    return args, kwargs


CASES: dict[str, list] = {}


def case(names, *calls):
    for name in names.split():
        CASES.setdefault(name, []).extend(calls)


# elementwise
case(
    "abs absolute angle arcsinh arctan cbrt ceil conj conjugate cos cosh deg2rad erf erfc exp exp2 "
    "expm1 fabs floor i0 negative rad2deg real reciprocal round sign sin sinc sinh square tan "
    "tanh trunc stop_gradient sigmoid",
    call(X),
)
case("ceil cos exp fabs floor negative round sign sin sqrt square abs tanh mean", call(COUNTS))
case("arccos arcsin arctanh erfinv", call(UNIT))
case("arccosh", call(POSITIVE + 1))
case("log log10 log1p log2 rsqrt sqrt", call(POSITIVE))
case("angle conj real imag", call(COMPLEX))
case("round", call(X * 10, 1), call(np.array([0.5, 1.5, 2.5], "float32")), call(BITS, -1))
case("clip", call(X, -1, 1), call(X, -(Y**2), 0.5), call(INTS, -2, 2))
case("nan_to_num", call(SPECIAL), call(SPECIAL, nan=1.0, posinf=2.0, neginf=-3.0))
case("view_as_complex", call(floats(3, 2)))
case("view_as_real", call(COMPLEX))
case("polar", call(POSITIVE, UNIT))
case(
    "add subtract multiply divide true_divide maximum minimum",
    call(X, Y),
    call(X, 2),
    call(2.5, X),
    call(INTS, COUNTS),
    call(INTS, 1.5),
    call([1.0, 2.0], [3.0, 4.0]),
    call(1, 2),
)
case("floor_divide mod fmod", call(X, Y), call(INTS, COUNTS), call(X, 0.7))
case("power", call(POSITIVE, UNIT), call(COUNTS, 2), call(X, 3))
case("arctan2 hypot logaddexp logaddexp2 nextafter fmax fmin", call(X, Y))
case("fmax fmin", call(HOLES, HOLES[::-1].copy()))
case("gcd lcm", call(BITS, COUNTS))
case("heaviside", call(INTS.astype("float32"), UNIT))
case("ldexp", call(POSITIVE, INTS))
case("divide_no_nan", call(X, np.where(Y > 0, Y, 0).astype("float32")))
# logic
case(
    "equal not_equal greater greater_equal less less_equal",
    call(INTS, COUNTS - 3),
    call(X, 0),
    call(0, INTS),
)
case("isfinite isinf isnan isneginf isposinf signbit isreal", call(SPECIAL))
case("isreal", call(COMPLEX))
case("logical_not", call(BOOLS), call(INTS))
case("logical_and logical_or logical_xor", call(BOOLS, ~BOOLS), call(INTS, BOOLS))
case(
    "bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift left_shift "
    "right_shift",
    call(BITS, COUNTS),
)
case("bitwise_not bitwise_invert", call(BITS), call(BOOLS))
case("isclose allclose", call(X, X + 1e-6), call(HOLES, HOLES, equal_nan=True), call(X, Y))
case("isin", call(BITS, [BITS[0, 0], 3]), call(BITS, [BITS[0, 0], 3], invert=True))
# creation
case("zeros ones", call((2, 3)), call((2,), dtype="int32"), call(3))
case("full", call((2, 3), 1.5), call((2, 3), 2, dtype="float32"), call((2, 3), [1.0, 2.0, 3.0]))
case("zeros_like ones_like", call(INTS), call(INTS, dtype="float32"))
case("full_like", call(X, 3), call(INTS, 2, dtype="float32"))
case("arange", call(5), call(1, 9, 2), call(0.0, 1.0, 0.25), call(3, dtype="float32"))
case(
    "linspace",
    call(0, 1, 5),
    call(0.0, 1.0, 5, endpoint=False),
    call(0.0, 1.0, 5, retstep=True),
)
case("logspace", call(0, 2, 5), call(0.0, 2.0, 5, base=2, endpoint=False))
case("geomspace", call(1.0, 1000.0, 4), call(-1.0, -100.0, 5))
case("eye", call(3), call(2, 4, 1), call(4, 3, -1, dtype="int32"))
case("identity", call(3))
case("tri", call(3), call(3, 4, -1))
case("bartlett blackman hamming hanning", call(9))
case("kaiser", call(9, 3.0))
# reduction
case(
    "sum mean var std amax amin max min prod all any ptp logsumexp median average",
    call(X),
    call(X, axis=1),
)
case(
    "sum mean var std amax amin max min prod all any ptp logsumexp median",
    call(X, axis=(0, 2), keepdims=True),
    call(X, axis=-1, keepdims=True),
)
case("sum prod max min var std", call(INTS), call(INTS, axis=0))
case("sum any all count_nonzero", call(BOOLS), call(BOOLS, axis=1))
case("count_nonzero", call(INTS), call(INTS, axis=(0, 1)))
case("max min", call(X, axis=1, initial=0.5))
case("argmax argmin", call(X), call(X, axis=1), call(X, axis=-1, keepdims=True))
case(
    "average",
    call(VECTOR, weights=np.arange(6)),
)
case(
    "quantile nanquantile",
    call(X, 0.3),
    call(X, [0.1, 0.9], axis=1),
    call(X, 0.5, axis=(0, 1), keepdims=True, method="lower"),
)
case("percentile nanpercentile", call(X, 30.0, axis=1), call(X, [10.0, 90.0], axis=0))
case(
    "nansum nanmean nanprod nanvar nanstd nanmax nanmin nanmedian",
    call(HOLES),
    call(HOLES, axis=0, keepdims=True),
    call(HOLES, axis=1),
)
case("nanargmax nanargmin", call(HOLES), call(HOLES, axis=1))
case("nanquantile", call(HOLES, 0.4, axis=1))
case("cumsum cumprod", call(X), call(X, axis=1), call(COUNTS, axis=0, dtype="float32"))
case("nancumsum nancumprod", call(HOLES), call(HOLES, axis=1))
case("diff", call(X), call(X, n=2, axis=0 + 1))
case(
    "trapezoid",
    call(X),
    call(X, dx=0.5, axis=1),
    call(X, x=np.array([0.0, 1.0, 3.0], "float32"), axis=1),
)
case("moments", call(X, (0, 1)), call(X, -1, keepdims=True))
case(
    "segment_sum segment_max segment_min segment_prod",
    call(floats(5, 2), np.array([0, 0, 2, 2, 1])),
    call(floats(5), np.array([0, 0, 2, 2, 1]), num_segments=3),
)
# ordering
case("sort argsort", call(X), call(X, axis=0), call(INTS, axis=None))
case("top_k", call(X, 2))
case("in_top_k", call([0, 2, 1, 3], LOGITS, 2))
case("searchsorted", call([1.0, 2.0, 3.0], [0.5, 2.0, 9.0]), call([1, 2, 3], [2], side="right"))
case("digitize", call(X, [-1.0, 0.0, 1.0]), call(BITS, [10, 30]))
case(
    "bincount",
    call([1, 1, 4]),
    call([1, 1, 4], weights=[0.5, 1.0, 2.0], minlength=7),
    call([[0, 1], [1, 1]], minlength=3),
)
case(
    "unique",
    call([3, 1, 3, 2]),
    call([3, 1, 3, 2], return_index=True, return_inverse=True, return_counts=True),
    call([[1, 2], [1, 2], [0, 5]], axis=0),
    call([3, 1, 3, 2], size=5, fill_value=9),
    call([3, 1, 3, 2], size=2),
)
case("nonzero", call(INTS), call(BOOLS))
# indexing
case("get_item", call(X, (0, slice(None), 1)), call(X, 1))
case("take", call(X, [0, 5, 1]), call(X, [[0, 2], [1, -1]], axis=1), call(X, 1, axis=-1))
case(
    "take_along_axis",
    call(X, np.argsort(X, axis=1), axis=1),
    call(MATRIX, [[0], [1], [-1]], axis=1),
)
case("where", call(X > 0, X, Y), call(X > 0, X, 0), call(BOOLS, 1.0, 2.0))
case("select", call([X > 1, X > 0], [X, Y], 5.0))
case("slice", call(X, (0, 1, 1), (2, 2, 1)))
case("slice_update", call(X, (0, 1, 2), np.ones((1, 2, 2), "float32")))
case(
    "scatter",
    call([[0, 1], [1, 2], [0, 1]], [1.0, 2.0, 3.0], (2, 3)),
    call([[0], [2]], MATRIX[:2], (4, 4)),
)
case(
    "scatter_update",
    call(MATRIX, [[0, 1], [2, 3]], [7.0, 8.0]),
    call(MATRIX, [[0], [2]], MATRIX[:2], reduction="max"),
    call(MATRIX, [[0, 1], [0, 1]], [2.0, 3.0], reduction="add"),
    call(MATRIX, [[0, 1], [0, 1]], [2.0, 3.0], reduction="mul"),
    call(MATRIX, [[0, 1], [2, 1]], [2.0, -3.0], reduction="min"),
)
case("unravel_index", call([0, 5, 11], (3, 4)))
case("diag", call(VECTOR), call(MATRIX), call(VECTOR, 1), call(MATRIX, k=-1))
case("diagflat", call(INTS), call(VECTOR, k=1))
case("diagonal trace", call(X), call(X, 1, 0, 2), call(SQUARE, axis1=1, axis2=2))
case("tril triu", call(X), call(MATRIX, k=1), call(MATRIX, -1))
case("one_hot", call([[0, 2], [1, -1]], 3), call([0, 2], 3, axis=0), call([0, 2], 3, dtype="int32"))
case("multi_hot", call([[0, 2], [1, 1]], 4), call([0, 2], 4))
case("extract_sequences", call(X, 3, 1))
case("unfold", call(IMAGES.transpose(0, 3, 1, 2).copy(), 3), call(floats(1, 2, 6, 6), 2, stride=2))
case("fold", call(floats(1, 8, 9), (6, 6), 2, stride=2))
case(
    "depth_to_space",
    call(floats(1, 2, 3, 8), 2),
    call(floats(1, 8, 2, 3), 2, data_format="channels_first"),
)
case(
    "space_to_depth",
    call(floats(1, 4, 6, 2), 2),
    call(floats(1, 2, 4, 6), 2, data_format="channels_first"),
)
# shaping
case("reshape", call(X, (4, 6)), call(X, (2, -1)), call(X, -1))
case("ravel copy transpose flip", call(X))
case("view", call(VECTOR, "int32"))
case("transpose", call(X, (1, 2, 0)))
case("swapaxes", call(X, 0, 2))
case("moveaxis", call(X, 0, -1), call(X, [0, 1], [2, 0]))
case("expand_dims", call(X, 1), call(X, (0, -1)))
case("squeeze", call(X[:, :1]), call(X[:, :1], axis=1))
case("broadcast_to", call(MATRIX, (2, 3, 4)))
case("flip", call(X, 1), call(X, (0, 2)))
case("fliplr flipud", call(MATRIX))
case("roll", call(X, 2), call(X, 1, axis=1))
case("rot90", call(MATRIX), call(X, 2, (1, 2)))
case("concatenate", call([X, Y]), call([X, Y], axis=-1))
case("append", call(X, Y), call(X, Y, axis=1))
case("stack", call([X, Y]), call([X, Y], axis=-1))
case("hstack vstack dstack", call([MATRIX, MATRIX]), call([VECTOR, VECTOR]))
case("unstack", call(X), call(X, axis=1))
case("split", call(X, 2, axis=2), call(X, [1, 2], axis=1))
case("array_split", call(VECTOR, 4))
case("hsplit vsplit", call(floats(4, 4), 2))
case("dsplit", call(X, 2))
case("repeat", call(X, 2), call(X, 2, axis=1))
case("tile", call(X, 2), call(X, (2, 1, 1, 2)))
case(
    "pad",
    call(X, ((0, 0), (1, 2), (3, 0)), constant_values=7.0),
    call(X, ((0, 0), (1, 2), (3, 0)), mode="reflect"),
)
case("meshgrid", call(VECTOR, [1.0, 2.0]), call(VECTOR, [1.0, 2.0], indexing="ij"))
# algebra
case("matmul", call(X, floats(2, 4, 5)), call(MATRIX, floats(4)), call(INTS, COUNTS.T.copy()))
case("dot", call(MATRIX, floats(4, 2)), call(VECTOR, VECTOR), call(X, floats(4)), call(X, 2.0))
case("inner", call(MATRIX, MATRIX), call(VECTOR, VECTOR))
case("outer", call(VECTOR, MATRIX))
case("vdot", call(VECTOR, VECTOR + 1))
case(
    "tensordot",
    call(X, floats(3, 4, 5)),
    call(X, Y, axes=[[0, 1], [0, 1]]),
    call(X, MATRIX, ((2,), (1,))),
)
case("einsum", call("bij,bkj->bik", X, Y), call("ij->", MATRIX), call("...j,j", X, floats(4)))
case("kron", call(INTS, COUNTS), call(VECTOR, VECTOR))
case("cross", call(floats(4, 3), floats(4, 3)), call(floats(3, 5), floats(3, 5), axis=0))
case("cdist", call(MATRIX, floats(5, 4)))
case("corrcoef", call(MATRIX))
case(
    "correlate",
    *[call(VECTOR, floats(k), mode=m) for k in (2, 3) for m in ("valid", "full", "same")],
)
case("vander", call(VECTOR), call(VECTOR, 3, increasing=True))
case("normalize", call(X), call(X, axis=1, order=1), call(X, axis=(0, 1)))
# linalg
case("norm", call(X), call(X, axis=1), call(X, ord=1, axis=-1, keepdims=True))
case(
    "norm", call(SQUARE, ord="fro", axis=(1, 2)), call(VECTOR, ord=np.inf), call(MATRIX, ord="nuc")
)
case("cholesky", call(SPD), call(SPD, upper=True))
case("cholesky_inverse", call(np.linalg.cholesky(SPD[0])))
case("det inv slogdet logdet eigh", call(SPD))
case("pinv", call(MATRIX))
case("lstsq", call(floats(5, 3), floats(5)), call(floats(5, 3), floats(5, 2)))
case("lu_factor", call(SQUARE))
case("matrix_rank", call(MATRIX), call(np.ones((3, 3), "float32"), tol=1e-3))
case("qr", call(MATRIX), call(SQUARE), call(MATRIX.T.copy(), mode="complete"))
case("solve", call(SPD, floats(2, 3, 2)))
case(
    "solve_triangular",
    call(np.triu(SPD), floats(2, 3, 2)),
    call(np.tril(SPD), floats(2, 3, 2), lower=True),
)
case("svd", call(MATRIX, compute_uv=False), call(SQUARE, full_matrices=False, compute_uv=False))
# signal
PAIR = (floats(2, 8), floats(2, 8))
case("fft fft2 ifft2", call(PAIR))
case("rfft", call(floats(2, 9)), call(floats(2, 8), fft_length=12))
case("irfft", call((floats(2, 5), floats(2, 5))), call((floats(2, 5), floats(2, 5)), fft_length=6))
case(
    "stft", call(floats(2, 40), 8, 4, 8), call(floats(40), 8, 3, 16, window="hamming", center=False)
)
case(
    "istft",
    call((floats(2, 9, 5), np.zeros((2, 9, 5), "float32")), 8, 4, 8),
    call((floats(2, 9, 5), np.zeros((2, 9, 5), "float32")), 8, 4, 8, length=30),
)
# nn
case(
    "celu elu gelu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log_sigmoid "
    "log_softmax relu relu6 selu silu soft_shrink softmax softplus softsign sparse_plus "
    "sparse_sigmoid squareplus swish tanh_shrink glu",
    call(X),
)
case("celu elu", call(X, 0.5))
case("gelu", call(X, approximate=False))
case("softmax log_softmax", call(X, axis=1), call(X, axis=None))
case("threshold", call(X, 0.5, 0.1))
case("sparsemax", call(np.array([[3.0, 1.0, 0.0], [9.0, 1.0, 0.0]], "float32")))
for data_format in ("channels_last", "channels_first"):

    def images(x, data_format=data_format):
        return x if data_format == "channels_last" else np.moveaxis(x, -1, 1).copy()

    for padding in ("valid", "same"):
        common = {"padding": padding, "data_format": data_format}
        case(
            "max_pool average_pool",
            call(images(IMAGES), 2, **common),
            call(images(SEQUENCE), 3, 2, **common),
        )
        case("max_pool", call(images(VOLUME), (2, 1, 3), **common))
        case(
            "conv",
            call(images(IMAGES), floats(3, 3, 3, 4), **common),
            call(images(IMAGES), floats(2, 3, 3, 4), 2, **common),
            call(images(IMAGES), floats(3, 3, 3, 4), dilation_rate=2, **common),
            call(images(SEQUENCE), floats(4, 3, 2), (3,), **common),
            call(images(VOLUME), floats(2, 2, 2, 2, 3), **common),
            call(images(IMAGES), floats(3, 3, 1, 6), **common),
        )
        case(
            "depthwise_conv",
            call(images(IMAGES), floats(3, 3, 3, 2), **common),
            call(images(SEQUENCE), floats(3, 3, 2), 2, **common),
        )
        case(
            "separable_conv",
            call(images(IMAGES), floats(3, 3, 3, 2), floats(1, 1, 6, 4), 2, **common),
        )
        case(
            "conv_transpose",
            *[
                call(images(IMAGES), floats(*kernel, 4, 3), strides, **common)
                for kernel in ((3, 3), (2, 4), (1, 5))
                for strides in (1, 2, 3)
            ],
            call(images(SEQUENCE), floats(3, 2, 3), 2, output_padding=1, **common),
            call(images(SEQUENCE), floats(3, 2, 3), 1, dilation_rate=2, **common),
        )
    case(
        "adaptive_average_pool adaptive_max_pool",
        call(images(IMAGES), 2, data_format=data_format),
        call(images(IMAGES), (3, 4), data_format=data_format),
        call(images(SEQUENCE), 2, data_format=data_format),
    )
case(
    "batch_normalization",
    call(X, floats(3), POSITIVE[0], 1),
    call(X, floats(4), floats(4, low=0.1), -1, floats(4), floats(4)),
)
case(
    "layer_normalization",
    call(X),
    call(X, floats(4), floats(4)),
    call(X, axis=(1, 2)),
)
case("rms_normalization", call(X), call(X, floats(4)))
QKV = [floats(2, 5, 4, 6) for _ in range(3)]
case(
    "dot_product_attention",
    call(*QKV),
    call(*QKV, is_causal=True),
    call(*QKV, mask=floats(2, 1, 5, 5) > -1),
    call(*QKV, bias=floats(2, 4, 5, 5), scale=0.3),
    call(*QKV, mask=np.ones((5, 5), bool), is_causal=True),
    call(QKV[0], QKV[1][:, :, :2], QKV[2][:, :, :2]),
)
case(
    "binary_crossentropy",
    call(BOOLS.astype("float32"), np.abs(UNIT)),
    call(BOOLS.astype("float32"), UNIT, from_logits=True),
)
case(
    "categorical_crossentropy",
    call(ONE_HOT, PROBABILITIES),
    call(ONE_HOT, LOGITS, from_logits=True),
)
case(
    "sparse_categorical_crossentropy",
    call([0, 3, 2, 4], PROBABILITIES),
    call([[0], [3], [2], [4]], LOGITS, from_logits=True),
    call([[0, 1, 1, 0], [2, 1, 0, 2]], X, from_logits=True, axis=1),
)
case("psnr", call(UNIT, POSITIVE, 2.0))
case("ctc_loss", call([[1, 2, 2], [3, 1, 0]], floats(2, 8, 5), [3, 2], [8, 6]))
case(
    "ctc_decode",
    call(floats(3, 7, 4), [7, 5, 3]),
    call(floats(3, 7, 4), [7, 5, 3], merge_repeated=False),
    call(floats(2, 6, 3, low=-3, high=3), [6, 6], strategy="beam_search", top_paths=2),
    call(floats(2, 6, 3, low=-3, high=3), [6, 4], strategy="beam_search", mask_index=2),
)
# tensors and core
case("cast", call(X, "int32"), call(BOOLS, "float32"), call(INTS, "bool"))
case(
    "saturate_cast",
    call(X * 300, "uint8"),
    call(BITS - 50, "uint8"),
    call(X, "int8"),
    call(INTS, "float16"),
)
case(
    "array convert_to_tensor",
    call([1.0, 2.0]),
    call([[1, 2], [3, 4]]),
    call(X),
    call(True),
    call(2.5),
    call([True, False]),
    call(X.astype("float64")),
)
case("shape ndim size dtype", call(X))
case("convert_to_numpy", call(X))
case("rearrange", call(X, "a b c -> c (a b)"), call(floats(2, 12), "a (b c) -> c b a", c=3))
case("empty", call((2, 3)))
case("empty_like", call(X))
case("logical_not", call(X))


# Where Keras 3.15 on torch departs from NumPy, which its documentation follows: name, arguments,
# and what NumPy says.
NUMPY_CASES = [
    ("array_split", call(X, [1], axis=1), np.array_split(X, [1], axis=1)),
    ("average", call(X, axis=1, weights=[1, 2, 3]), np.average(X, axis=1, weights=[1, 2, 3])),
    ("average", call(X, weights=np.abs(Y)), np.average(X, weights=np.abs(Y))),
    ("histogram", call(X, bins=4, range=(-1.0, 1.0)), np.histogram(X, 4, (-1.0, 1.0))),
    ("correlate", call(VECTOR, VECTOR + 1), np.correlate(VECTOR, VECTOR + 1)),
    ("correlate", call(VECTOR[:2], VECTOR, "full"), np.correlate(VECTOR[:2], VECTOR, "full")),
    ("histogram", call(X), np.histogram(X)),
    ("histogram", call([2.0, 2.0]), np.histogram(np.array([2.0, 2.0], "float32"))),
    ("imag", call(X), np.imag(X)),
    ("linspace", call(UNIT, POSITIVE, 4, axis=1), np.linspace(UNIT, POSITIVE, 4, axis=1)),
    ("max", call(np.zeros((0, 2), "float32"), 0, initial=3.0), np.full(2, 3.0, "float32")),
    ("min", call(np.zeros((0, 2), "float32"), 0, initial=3.0), np.full(2, 3.0, "float32")),
    ("pad", call(X, 1), np.pad(X, 1)),
    ("pad", call(X, ((1, 2),)), np.pad(X, ((1, 2),))),
    *[
        ("pad", call(MATRIX, ((1, 2), (3, 0)), mode), np.pad(MATRIX, ((1, 2), (3, 0)), mode))
        for mode in ("symmetric", "reflect", "edge", "wrap")
    ],
    ("repeat", call(MATRIX, [1, 0, 2], axis=0), np.repeat(MATRIX, [1, 0, 2], axis=0)),
    ("take", call(X, [0, -1]), np.take(X, [0, -1])),
    (
        "take_along_axis",
        call(X, [3, -1], axis=None),
        np.take_along_axis(X, np.array([3, -1]), None),
    ),
    ("vdot", call(X, Y), np.vdot(X, Y)),
    ("nansum", call(HOLES, axis=1), np.nansum(HOLES, axis=1)),
    ("sort", call(HOLES, axis=None), np.sort(HOLES, axis=None)),
    ("ptp", call(INTS, axis=0), np.ptp(INTS, axis=0)),
    ("quantile", call(X, [0.2, 0.7], (0, 2)), np.quantile(X, [0.2, 0.7], axis=(0, 2))),
]
