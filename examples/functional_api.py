"""A model with two inputs, a shared layer and two outputs, made with the functional API.

Torch functions, operators and indexing may stand between layers. The model prints the Python it was
turned into. Takes about two seconds.
"""

import torch

import kerasish
from kerasish import Input, Model, layers

kerasish.config.set_random_seed(0)

left, right = Input((8,), name="left"), Input((8,), name="right")
encode = layers.Dense(16, activation="relu", name="encode")  # shared: one set of weights
a, b = encode(left), encode(right)
distance = torch.abs(a - b)
joined = layers.Concatenate()([a, b, distance])
same = layers.Dense(1, activation="sigmoid", name="same")(joined)
total = layers.Dense(1, name="total")(joined)
model = Model([left, right], {"same": same, "total": total})
model.summary()
print(model.code)

# Which pairs have sums of the same sign, and what do the two rows sum to?
x_left, x_right = torch.randn(2000, 8), torch.randn(2000, 8)
targets = {
    "same": (x_left.sum(1).sign() == x_right.sum(1).sign()).float(),
    "total": x_left.sum(1) + x_right.sum(1),
}
model.compile(
    "adam",
    loss={"same": "binary_crossentropy", "total": "mse"},
    loss_weights={"same": 1.0, "total": 0.1},
    metrics={"same": ["accuracy"], "total": ["mae"]},
)
history = model.fit([x_left, x_right], targets, epochs=30, validation_split=0.2, verbose=2)

# A model that stops at an inner tensor shares its weights with the whole.
features = Model(model.inputs, model.get_layer("concatenate").output)
print("Inner features:", features.predict([x_left[:2], x_right[:2]], verbose=0).shape)

assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
assert history.history["val_same_accuracy"][-1] > 0.7
