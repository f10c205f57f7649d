"""nn.MultiheadAttention's self-attention written out in its steps.

So adapters can be added to its q, k and v (`low_rank`), and its attention weights can be recorded (`explaining`).
"""

from torch import Tensor, nn
from torch.nn import functional as F


class ExplicitAttention(nn.Module):
    """Self-attention as nn.MultiheadAttention computes it, with the weights of `base`."""

    def __init__(self, base: nn.MultiheadAttention) -> None:
        super().__init__()
        self.base = base

    def qkv(self, inputs: Tensor) -> Tensor:
        """(n, tokens, d) -> (n, tokens, 3 * e), q, k and v beside one another."""
        return F.linear(inputs, self.base.in_proj_weight, self.base.in_proj_bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        base = self.base
        inputs = query if base.batch_first else query.transpose(0, 1)
        q, k, v = self.qkv(inputs).unflatten(2, (3, base.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None if attn_mask is None else attn_mask.to(q.dtype)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        outputs = base.out_proj(attended.transpose(1, 2).flatten(2))
        return outputs if base.batch_first else outputs.transpose(0, 1), None
