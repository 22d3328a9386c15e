"""The model card, made of measured figures by the export; `training/results.py` adds those that `escalation evaluate` measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from training.config import Config
from training.corpus.schema import STANDOFF
from training.corpus.standoff import read_units
from training.sources import SOURCES

CARD = "README.md"  # its file in a model folder

ROWS = (
    ("Sentence direction, four classes, macro-F1: project's articles", "corpus_direction_f1"),
    ("Sentence direction, four classes, macro-F1: real news sentences", "real_direction_f1"),
    ("Highlights, span F1 (IoU ≥ 0.5, direction right): project's articles", "corpus_span_f1"),
    ("Highlights, span F1 (IoU ≥ 0.5, direction right): real news sentences", "real_span_f1"),
    ("Status right on matched highlights: project's articles", "corpus_status_accuracy"),
    ("Sentence severity, Pearson: project's articles", "corpus_severity_pearson"),
    ("Sentence severity, Pearson: real news sentences", "real_severity_pearson"),
    ("Sentence direction, macro-F1 over the classes there are: own data", "own_direction_f1"),
    ("Highlights, span F1 (IoU ≥ 0.5, direction right): own data", "own_span_f1"),
    ("Sentence severity, Pearson: own data", "own_severity_pearson"),
    ("PLOVER root, macro-F1 over the classes there are: own data", "own_event_root_f1"),
    ("PLOVER events of PLV train rows held out, macro-F1: binary", "event_binary_f1"),
    ("… quad class", "event_quad_f1"),
    ("… root (15)", "event_root_f1"),
    ("Article direction, four classes, macro-F1", "article_direction_f1"),
    ("Article severity, Pearson", "article_severity_pearson"),
    ("Article score: 90 % interval holds the labelled severity", "article_interval_coverage"),
    ("Sport, business and science news called in scope, articles", "outside_articles_in_scope"),
    ("Sport, business and science news given a direction, sentences", "outside_alarm"),
)


INTERVALS = """## Figures with intervals, beside baselines

Written by `make results`, that is by `escalation evaluate`; `corpus` are the project's own articles, the other sources real news sentences.

<!-- figures -->
<!-- /figures -->

Published on the PLV *test* set (Hu et al., ACL 2024; macro-F1 binary / quad / root): ConfliBERT 98.4 / 96.3 / 86.7, zero-shot NLI 96.4 / 89.6 / 82.4, GPT-4
93.4 / 76.7 / 61.5, PETRARCH 80.8 / 51.8 / 46.3. Ours above are on held-out rows of the PLV *train* set and of CAMEO's, so they compare loosely.

"""


def figures_table(figures: dict[str, Any]) -> str:
    """Markdown table of dev and test figures."""
    lines = ["| figure | dev | test |", "|---|---|---|"]
    for text, key in ROWS:
        if key in figures["dev"]:
            test = figures["test"].get(key)
            lines.append(f"| {text} | {figures['dev'][key]:.3f} | {'–' if test is None else f'{test:.3f}'} |")
    return "\n".join(lines)


PUBLIC = ("standoff", "plv", "cameo", "ngec", "ag")
MINILM = "Encoder: sentence-transformers/all-MiniLM-L6-v2, Apache-2.0."
CORPUS_TEXT = "`corpus` are the project's own articles: synthetic news of invented events, their actors filled with other names at each epoch; \
labelled twice, and a third labeller decided where the two differed."
PUBLIC_TEXT = """`standoff` is AG's world news,
BBC political articles and {ngec:,} NGEC articles with labels of the project, made in the same way, but that of NGEC's sentences only {share:.0%}
were labelled twice{unlabelled}. Public text is not part of the project; who retrains gets it upstream:

| source | licence stated there | what |
|---|---|---|
{licences}"""
UNLABELLED = "; `unlabelled` are sentences of other NGEC and BBC articles that have no labels, for the teacher to label"
VARIED = "`varied` are variants of the train texts, phrases exchanged for other labelled phrases and words for near ones, for the teacher to label."
WEIGH = "Weigh the sources' licences before commercial use: AG's corpus is for non-commercial use."

TRAINED = "## Trained on"
LIMITS = """## Known limits

English only. Sentences are read with their neighbours in a window of
{max_tokens} tokens, not with the whole article. Irony, code words and threats that only an insider hears are missed. The labels are what the
codebook says, not what happened afterwards.
"""


PIPELINES = {"pipeline-1": "pipeline, batches of 1", "pipeline-32": "pipeline, batches of 32"}  # of transformers
SCREEN_SECTION = """## The screen

Off unless it is asked for (`load(name, screen=True)`, `--screen`): linear, on word pieces; passes over texts whose words show no political or armed actor.

<!-- screen -->
{table}
<!-- /screen -->

"""


def screen_table(figures: dict[str, Any]) -> str:
    """Markdown table of what a screen lets through, as `training.screen` measures it, with 95 % intervals (Wilson), and its speed where that was measured.

    Args:
        figures: `dev`, `test` and `other` by kind of text, each `texts` and `read`; `texts a second` by texts, with `machine` and, where a rival was measured,
            `encoder`.
    """

    def cells(part: dict[str, dict[str, int]], title: str) -> str:
        if title not in part:
            return "0 | –"
        texts, read = part[title]["texts"], part[title]["read"]
        bounds = binomtest(read, texts).proportion_ci(method="wilson")
        return f"{texts:,} | {read / texts:.1%} [{bounds.low:.1%}, {bounds.high:.1%}]"

    lines = ["| part | texts with a signal | of these read | texts out of scope | of these read |", "|---|---|---|---|---|"]
    for name in ("dev", "test"):
        lines.append(f"| {name} | {cells(figures[name], 'with a signal')} | {cells(figures[name], 'out of scope')} |")
        lines.append(f"| … AG's news alone | {cells(figures[name], 'with a signal, ag')} | {cells(figures[name], 'out of scope, ag')} |")
    if other := figures.get("other"):
        lines.append(f"| the BBC's train articles, with conflict and without | {cells(other, 'conflict')} | {cells(other, 'no conflict')} |")
    if speed := figures.get("texts a second"):
        rivals = [name for name in PIPELINES if all(name in rates for rates in speed.values())]  # older figures have none
        lines += [
            "",
            f"Texts a second, {figures['machine']}, median of three:",
            "",
            f"| texts | without a screen | with it | times as fast |{''.join(f' {PIPELINES[name]} | with the screen, times as fast |' for name in rivals)}",
            f"|---|---|---|---|{'---|---|' * len(rivals)}",
        ]
        for name, rates in speed.items():
            beside = "".join(f" {rates[rival]:.1f} | {rates['with'] / rates[rival]:.1f} |" for rival in rivals)
            lines.append(f"| {name} | {rates['without']:.1f} | {rates['with']:.1f} | {rates['with'] / rates['without']:.1f} |{beside}")
        if rivals:
            lines += ["", f"The pipeline of transformers (encoder {figures['encoder']}) gives a text one label and reads its first 512 tokens."]
    return "\n".join(lines)


def describe_data(config: Config, used: set[str]) -> str:
    """What the sources that a model trained on are, in this run or before, and their licences."""
    parts = [text for source, text in (("corpus", CORPUS_TEXT), ("varied", VARIED)) if source in used]
    if used & set(PUBLIC):
        licences = "\n".join(f"| {s.upstream} | {s.licence} | {s.note} |" for s in SOURCES.values())
        generated = [label for label in read_units(STANDOFF) if label.corpus == "ngec"]
        twice = sum(label.second for label in generated)
        counts = {"ngec": len({label.row for label in generated}), "share": twice / (len(generated) - twice)}
        parts.append(PUBLIC_TEXT.format(licences=licences, unlabelled=UNLABELLED if "unlabelled" in used else "", **counts))
    own = f"`own` is data of who trained it: {', '.join(Path(name).name for name in config.data)} (SHA-256 sums in train.toml)." if "own" in used else ""
    encoder = MINILM if "minilm" in config.encoder.lower() else f"Encoder: {config.encoder}."
    closing = f"{encoder} {WEIGH}" if used & set(PUBLIC) else encoder
    return "\n\n".join(part for part in (" ".join(parts), own, closing) if part)


def data_table(data: Mapping[str, Mapping[str, int]], config: Config | None = None) -> str:
    """Markdown table of what a model was trained on; with the run's configuration also how many texts an epoch drew."""
    lines = [f"| source | texts | sentences |{' texts drawn an epoch |' if config else ''}", f"|---|---|---|{'---|' if config else ''}"]
    for source, counts in data.items():
        if texts := counts.get("train texts", 0):
            drawn = f" {min(counts.get('train texts shown', texts), getattr(config.sources, source))} |" if config else ""
            lines.append(f"| {source} | {texts} | {counts.get('train sentences', 0)} |{drawn}")
    return "\n".join(lines)


def describe_start(config: Config, before: Sequence[Mapping[str, Any]]) -> str:
    """What a run's weights go back to, models and runs, and what those were trained on: their own folders may be gone."""
    if not config.start:
        return ""
    if not before:
        return f"Training went on from `{config.start}`, which says nothing of what it was trained on.\n\n"
    names = [f"{model['name']} {model['version']}" for model in before]
    parts = [f"Training went on from {', and that from '.join(names)}."]
    parts += [f"{name} was trained on\n\n{data_table(model['data'])}" for name, model in zip(names, before, strict=True) if model["data"]]
    return "\n\n".join(parts) + "\n\n"


def screen_section(figures: dict[str, Any]) -> str:
    """The card's section on the screen."""
    return SCREEN_SECTION.format(table=screen_table(figures))


def write_card(config: Config, figures: dict[str, Any], size: int, cost: str = "") -> str:
    """The card as Markdown.

    Args:
        config: of the training run.
        figures: what metrics.json holds; `data` is what the run was trained on, `before` what it went on from, `notes` what a reader should know,
            `screen` what its screen lets through.
        size: bytes of the ONNX file.
        cost: section on time and carbon (`training.cost`).
    """
    used = {source for source, counts in figures["data"].items() if counts.get("train texts", 0)}
    before = figures.get("before", ())
    earlier = {source for found in before for source, counts in found["data"].items() if counts.get("train texts")}
    desks = ", ".join(f"{desk} {times}" for desk, times in config.desks.items())
    shown = f"An epoch showed articles of these desks of the corpus other than once: {desks} times.\n\n" if desks else ""
    notes = "".join(f"\n**Note:** {note}.\n" for note in figures.get("notes", ()))
    dev, test = figures["dev"], figures["test"]
    own = f",\nown data {int(dev['own_sentences'])} and {int(test.get('own_sentences', 0))}" if "own_sentences" in dev else ""
    real = f"{int(dev.get('real_sentences', 0))} and {int(test.get('real_sentences', 0))}"
    return f"""# {config.name} {config.version}

Reads English news: for each word the evidence of 16 escalation and de-escalation signals and their status; from it highlights, sentence scores and an article
score in one forward pass. Encoder {config.encoder}, {size / 1e6:.1f} MB on disk, windows of {config.max_tokens} tokens.

**Meant for** ranking and marking news about political and armed actors, with a person reading what it marks. **Not meant for** deciding about people,
forecasting violence, or texts that are no news.

## Figures

Split by article, scenario and template. The dev split chose epoch, thresholds and calibration, so its figures flatter; the test split chose nothing.
One run, no intervals. Text units: project's articles {int(dev.get("corpus_sentences", 0))} and {int(test.get("corpus_sentences", 0))} sentences,
real news {real} (sentences of the public corpora labelled by the project's codebook){own}.

{figures_table(figures)}
{notes}
ONNX against torch: largest difference of a logit {figures["agreement"]["fp32_largest_logit_difference"]:.1e} (fp32).
All figures are of the file that is shipped.

{INTERVALS if used & set(PUBLIC) else ""}{screen_section(figures["screen"]) if "screen" in figures else ""}{TRAINED}

{data_table(figures["data"], config)}

{shown}{describe_start(config, before)}{describe_data(config, used | earlier)}

{cost}{LIMITS.format(max_tokens=config.max_tokens)}"""
