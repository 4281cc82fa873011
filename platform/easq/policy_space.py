"""How Eq. 16 reads a score as a policy: see `easq.losses.log_policy`.

Apart from the losses, so that a configuration is read without torch.
"""

from typing import Literal

Space = Literal["logit", "log", "softplus", "logsigmoid"]
