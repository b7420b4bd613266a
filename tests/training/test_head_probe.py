"""A probed head against scikit-learn's logistic regression on the same features, and on every sort of head."""

import math

import pytest
import torch
from picture_models import PICTURE_MODELS
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification

from peftsearch.models.head import find_head
from peftsearch.testing import TINY, TINY_PICTURE_MODELS
from peftsearch.testing.tiny_models import CONFIGS
from peftsearch.training.backbone_outputs import OwnLoss
from peftsearch.training.head_probe import head_parameters, probe_head

CLASSIFIERS = [name for name, make in TINY.items() if not make().config.is_encoder_decoder]


def batches(count: int, seed: int, *, classes: int = 2) -> list[dict[str, torch.Tensor]]:
    """Batches of 16 whose label is decided by the first and the last token, of several lengths."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for i in range(count):
        ids = torch.randint(6, 200, (16, 5 + i % 3), generator=generator)
        labels = torch.randint(0, classes, (16,), generator=generator)
        ids[:, 0] = ids[:, -1] = 10 + labels
        made.append({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels})
    return made


def pooled(model, given) -> tuple[torch.Tensor, torch.Tensor]:
    """Features in front of BERT's classifier, and labels."""
    with torch.no_grad():
        outputs = [model.bert(**{n: t for n, t in batch.items() if n != "labels"}).pooler_output for batch in given]
    return torch.cat(outputs).numpy(), torch.cat([batch["labels"] for batch in given]).numpy()


def test_a_linear_head_comes_near_logistic_regression_and_goes_half_of_the_way():
    model = TINY["bert"]().eval()
    train, validation = batches(20, 0), batches(6, 1)
    features, labels = pooled(model, train)
    held_out, expected = pooled(model, validation)
    best = min(
        log_loss(expected, LogisticRegression(C=c, max_iter=5000).fit(features, labels).predict_proba(held_out))
        for c in (0.1, 1, 10, 100, 1000)
    )
    found = probe_head(model, ("classifier",), train=train, validation=validation, seed=0)
    assert found.lowest_loss == pytest.approx(best, abs=0.05)
    # The head goes half of the way, and hardly further.
    middle = (found.fresh_loss + found.lowest_loss) / 2
    assert middle - 0.15 < found.loss <= middle


def mean_loss(model, given) -> float:
    """Mean loss of the whole model, its backbone run anew."""
    with torch.no_grad():
        return sum(float(model(**batch).loss) for batch in given) / len(given)


def test_as_many_tokens_as_the_model_is_wide_are_not_taken_for_features():
    model = TINY["bert"]()
    given = [
        {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0] % 2}
        for ids in torch.randint(6, 200, (3, 8, model.config.hidden_size), generator=torch.Generator().manual_seed(0))
    ]
    found = probe_head(model, ("classifier",), train=given, validation=given, seed=0)
    assert found.loss == pytest.approx(mean_loss(model.eval(), given), abs=1e-4)


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_every_head_is_fitted_and_the_backbone_left_alone(family):
    model = TINY[family]().eval()
    head = find_head(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    random_state = torch.get_rng_state()
    train, validation = batches(8, 0), batches(4, 1)
    fresh = mean_loss(model, validation)
    found = probe_head(model, head, train=train, validation=validation, seed=0)
    assert found.fresh_loss == pytest.approx(fresh, abs=1e-4)
    assert found.loss <= found.fresh_loss
    # The loss that was measured on kept outputs is that of the whole model.
    assert mean_loss(model, validation) == pytest.approx(found.loss, abs=1e-4)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert (
        changed
        <= set(head_parameters(model, head))
        == {n for n in before if n.startswith(tuple(f"{h}." for h in head))}
    )
    assert {n: p.requires_grad for n, p in model.named_parameters()} == dict.fromkeys(before, True)
    # A run that reads the head from its file draws the same modules as the one that fitted it.
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("name", [*TINY_PICTURE_MODELS, *PICTURE_MODELS])
def test_heads_over_pictures_are_fitted_on_kept_outputs(name):
    model = (TINY_PICTURE_MODELS | PICTURE_MODELS)[name]().eval()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(3, 8, 3, 8, 8, generator=generator)
    given = [{"pixel_values": batch, "labels": (batch.mean((1, 2, 3)) > 0).long()} for batch in pixels]
    fresh = mean_loss(model, given)
    found = probe_head(model, ("classifier",), train=given, validation=given, seed=0)
    assert found.fresh_loss == pytest.approx(fresh, abs=1e-4) and found.loss < fresh
    assert mean_loss(model, given) == pytest.approx(found.loss, abs=1e-4)
    # ViT and DeiT read the first token; BEiT and Swin pool in the base model, and DINOv2 reads the mean too.
    assert found.reads == ("all tokens" if name == "dinov2" else "first token")


def test_a_head_that_cannot_be_better_stays():
    model = TINY["bert"]().eval()
    train = batches(4, 0)
    # Training labels say the opposite of those that are held out.
    validation = [batch | {"labels": 1 - batch["labels"]} for batch in batches(4, 1)]
    probe_head(model, ("classifier",), train=validation, validation=validation, seed=0)
    before = {name: p.detach().clone() for name, p in model.classifier.named_parameters()}
    found = probe_head(model, ("classifier",), train=train, validation=validation, seed=0)
    assert found.learning_rate is None and found.loss == found.fresh_loss
    assert all(torch.equal(p, before[name]) for name, p in model.classifier.named_parameters())


def test_a_memory_limit_leaves_examples_out(monkeypatch):
    monkeypatch.setattr("peftsearch.training.head_probe.MAX_BYTES", 1)
    found = probe_head(TINY["bert"](), ("classifier",), train=batches(8, 0), validation=batches(2, 1), seed=0)
    assert found.num_rows == 16


@pytest.mark.parametrize(("family", "reads"), [("bert", "first token"), ("llama", "last token")])
def test_the_record_says_what_the_head_reads(family, reads):
    model = TINY[family]().eval()
    given = batches(3, 0)
    assert probe_head(model, find_head(model), train=given, validation=given, seed=0).reads == reads


@pytest.mark.parametrize("family", ["bert", "llama", "gpt2"])
def test_a_head_over_tokens_reads_them_all(family):
    model = AutoModelForTokenClassification.from_config(CONFIGS[family](), attn_implementation="eager")
    given = []
    for batch in batches(6, 0):
        ids = 10 + batch["input_ids"] % 2
        labels = (ids % 2).index_fill(1, torch.tensor([0, 3]), -100)
        given.append({**batch, "input_ids": ids, "labels": labels})
    found = probe_head(model, find_head(model), train=given[:4], validation=given[4:], seed=0)
    assert found.reads == "all tokens"
    # Half of the words have each label, which the token itself decides.
    assert found.fresh_loss == pytest.approx(math.log(2), abs=0.2) and found.lowest_loss < 0.5


class Spans(OwnLoss):
    """Batches whose labels are a start and an end, beside a column that no model reads."""

    def inputs(self, batch):
        return {name: tensor for name, tensor in super().inputs(batch).items() if name != "place"}

    def forward(self, model, batch):
        start, end = batch["labels"].unbind(-1)
        return model(**self.inputs(batch), start_positions=start, end_positions=end)


@pytest.mark.parametrize("family", ["bert", "distilbert", "gpt2"])
def test_heads_for_spans_are_fitted_over_all_tokens(family):
    torch.manual_seed(0)
    model, task = AutoModelForQuestionAnswering.from_config(CONFIGS[family]()).eval(), Spans()
    given = []
    for batch in batches(8, 0):
        place = batch["labels"] + 1
        batch["input_ids"][torch.arange(16), place] = 250
        given.append(batch | {"labels": torch.stack([place, place], dim=1), "place": torch.zeros(16)})
    with torch.no_grad():
        fresh = sum(float(task.forward(model, batch).loss) for batch in given) / len(given)
    found = probe_head(model, find_head(model), train=given, validation=given, seed=0, task=task)
    assert found.reads == "all tokens"
    assert found.fresh_loss == pytest.approx(fresh, abs=1e-4) and found.loss < fresh - 0.1
    with torch.no_grad():
        after = sum(float(task.forward(model, batch).loss) for batch in given) / len(given)
    assert found.loss == pytest.approx(after, abs=1e-4)
