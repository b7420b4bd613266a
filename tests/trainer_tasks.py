"""Tiny models with a training set each, for every task that a Trainer may have."""

import torch
import transformers
from torch.utils.data import Dataset
from transformers import TrainingArguments

from peftsearch import SearchTrainer
from peftsearch.testing.tiny_models import CONFIGS, TINY

BUDGET = 600
ROWS, TOKENS = 24, 6
IDS = torch.randint(6, 200, (ROWS, TOKENS), generator=torch.Generator().manual_seed(0))
CLASS = IDS[:, 0] % 2


class Rows(Dataset):
    """Columns of tensors with one row an example."""

    def __init__(self, **columns: torch.Tensor):
        self.columns = columns

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, i):
        return {name: column[i] for name, column in self.columns.items()}


def arguments(folder, **changes) -> TrainingArguments:
    settings = {
        "output_dir": str(folder),
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 3e-3,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "use_cpu": True,
    }
    return TrainingArguments(**settings | changes)


def vision():
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=8,
        patch_size=4,
    )
    return transformers.ViTForImageClassification(config)


def bert(kind: str, **changes):
    return lambda: getattr(transformers, f"BertFor{kind}")(transformers.BertConfig(**SIZES | changes))


SIZES = CONFIGS["bert"]().to_diff_dict()
TEXTS = {"input_ids": IDS, "labels": IDS}
CLASSES = {"input_ids": IDS, "labels": CLASS}
SPANS = {"input_ids": IDS, "start_positions": CLASS, "end_positions": CLASS + 1}
IMAGES = {"pixel_values": IDS.float().repeat(1, 32).view(ROWS, 3, 8, 8) / 200, "labels": CLASS}
# A task is a model and the columns of its training set; every family of models is one.
TASKS = {
    **{name: (make, TEXTS if CONFIGS[name]().is_encoder_decoder else CLASSES) for name, make in TINY.items()},
    "causal language model": (lambda: transformers.LlamaForCausalLM(CONFIGS["llama"]()), TEXTS),
    "causal language model, tied": (lambda: transformers.GPT2LMHeadModel(CONFIGS["gpt2"]()), TEXTS),
    "masked language model": (bert("MaskedLM"), TEXTS),
    "token classes": (bert("TokenClassification", num_labels=3), {"input_ids": IDS, "labels": IDS % 3}),
    "spans": (bert("QuestionAnswering"), SPANS),
    "several labels": (
        bert("SequenceClassification", num_labels=3, problem_type="multi_label_classification"),
        {"input_ids": IDS, "labels": (IDS[:, :3] % 2).float()},
    ),
    "numbers": (
        bert("SequenceClassification", num_labels=1, problem_type="regression"),
        {"input_ids": IDS, "labels": CLASS.float()},
    ),
    "images": (vision, IMAGES),
}


def of_task(task: str, folder, trainer=SearchTrainer, args=None, **changes):
    torch.manual_seed(0)
    make, columns = TASKS[task]
    settings = {"budget": BUDGET, "train_dataset": Rows(**columns)} | changes
    return trainer(model=make().eval(), args=arguments(folder, **args or {}), **settings)
