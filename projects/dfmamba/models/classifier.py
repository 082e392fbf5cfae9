"""A backbone as an image classifier: the form in which sizes are published, and which timm knows."""

from typing import Any

from torch import Tensor, nn


class ImageClassifier(nn.Module):
    """The last map of a backbone, averaged over its positions, then a linear layer.

    Args:
        backbone: Returns a sequence of maps and has `feature_info`. For no idle parameters let it return one map.
        num_classes: Length of the result; 0 for the averaged features themselves.
        drop_rate: Rate of the dropout before the linear layer.
    """

    backbone: Any

    def __init__(self, backbone: nn.Module, num_classes: int = 1000, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_features: int = self.backbone.feature_info[-1]["num_chs"]
        self.head_hidden_size = self.num_features
        self.dropout = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a new linear layer in place; `global_pool` may be None or 'avg', the only one there is."""
        if global_pool not in (None, "avg"):
            raise ValueError(f"global_pool: expected None or 'avg', got {global_pool!r}")
        self.num_classes = num_classes
        self.head: nn.Module = nn.Identity()
        if num_classes:
            self.head = linear = nn.Linear(self.num_features, num_classes)
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def get_classifier(self) -> nn.Module:
        """Return the linear layer."""
        return self.head

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the backbone's last map, (batch, channels, H, W)."""
        return self.backbone(x)[-1]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Return the logits of a map, (batch, num_classes), or the features in front of the linear layer."""
        x = self.dropout(x.mean((2, 3)))
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images, (batch, num_classes)."""
        return self.forward_head(self.forward_features(x))
