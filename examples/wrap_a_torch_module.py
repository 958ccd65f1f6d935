"""Train any `nn.Module` with `compile` and `fit`, with torch's own loss and optimizer.

The module stays yours: its weights, its `state_dict` and its hooks are what they were. Takes about
three seconds.
"""

import torch
from torch import nn

import kerasish
from kerasish.datasets import digits


class Net(nn.Module):
    """A plain torch network; it knows nothing of kerasish."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16 * 16, 10)

    def forward(self, x):
        """Logits for a batch of digits."""
        x = torch.relu(self.norm(self.conv(x)))  # (B, 16, 8, 8)
        x = nn.functional.max_pool2d(x, 2)  # (B, 16, 4, 4)
        return self.head(x.flatten(1))


kerasish.config.set_random_seed(0)
(x_train, y_train), (x_test, y_test) = digits.load_data()
x_train, x_test = (x[:, None].astype("float32") / 16 for x in (x_train, x_test))

net = Net()
model = kerasish.Model(net)
model.compile(
    torch.optim.AdamW(net.parameters(), lr=0.003),
    nn.CrossEntropyLoss(label_smoothing=0.05),
    metrics=["accuracy"],
)
model.summary()
model.fit(x_train, y_train, epochs=10, validation_data=(x_test, y_test), verbose=2)

# The door out: the module itself, trained.
with torch.no_grad():
    logits = net(torch.as_tensor(x_test))
accuracy = (logits.argmax(1) == torch.as_tensor(y_test)).float().mean()
print(f"The plain module's own accuracy: {accuracy:.4f}")
assert accuracy > 0.95
