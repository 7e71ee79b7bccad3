"""Models that cannot be lowered, each in its own way."""

import torch


def raises() -> torch.nn.Module:
    raise RuntimeError("the checkpoint is of another architecture")


def imports() -> torch.nn.Module:
    import a_module_that_is_not_there  # noqa: F401

    return torch.nn.ReLU()


def no_module() -> str:
    return "relu"


def no_inputs() -> torch.nn.Module:
    return torch.nn.ReLU()


def with_inputs() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    return torch.nn.ReLU(), (torch.ones(2),)


class _Branch(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def branches() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    return _Branch(), (torch.ones(2),)


def dies() -> torch.nn.Module:
    import os
    import signal

    print("about to die", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def leaves_traces() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """Changes what another request must not see."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(41)
    torch.nn.Linear.forward = lambda self, x: x * 0  # type: ignore[method-assign]
    return torch.nn.ReLU(), (torch.ones(2, dtype=torch.float32),)
