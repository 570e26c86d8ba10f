"""Run folders: what is written, stopping and killing at any moment, resuming, and what is refused."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ali
from ali import checkpoint, recipes
from ali.data.digits import digits
from ali.errors import AliError
from ali.session import Session, Stopped

SMALL = {"width": 16, "depth": 1, "epochs": 4, "batch_size": 64, "lr": 2e-3}


def start(out: Path, **options) -> Session:
    return Session.start("digits", digits(), out, **SMALL | options)


def finish(session: Session, **options) -> None:
    for _ in session.play(**options):
        pass


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors") | load_file(run / "resume" / "state.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    finish(start(out))
    return out


def test_run_folder_holds_what_it_should(finished):
    names = {str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file() and p.suffix != ".png"}
    assert names == {
        "README.md",
        "config.json",
        "log.jsonl",
        "model.safetensors",
        "preprocess.json",
        "resume/.lock",
        "resume/data.json",
        "resume/state.safetensors",
    }
    config = json.loads((finished / "config.json").read_text())
    assert config["recipe"] == "ali"
    assert config["seed"] == 0
    assert config["spec"]["shape"] == [1, 8, 8]
    assert config["arguments"]["width"] == 16
    lines = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 4 * (1397 // 64)
    assert {"step", "rows", "seconds", "rows_per_second", "loss_discriminator", "loss_generator"} == set(lines[0])
    assert [line["step"] for line in lines] == sorted({line["step"] for line in lines})
    assert len(list((finished / "samples").glob("*.png"))) > 10


def test_paths_stay_out_of_what_is_shared(tmp_path):
    file = tmp_path / "secret-place.npy"
    np.save(file, np.random.default_rng(0).integers(0, 255, (50, 8, 8), dtype=np.uint8))
    ali.Model.train("images", file, out=tmp_path / "run", networks="mlp", width=8, epochs=1)
    shared = [p for p in (tmp_path / "run").rglob("*") if p.is_file() and p.parent.name != "resume"]
    assert [p for p in shared if b"secret-place" in p.read_bytes()] == []
    assert "secret-place" in (tmp_path / "run" / "resume" / "data.json").read_text()


def test_same_seed_same_weights_and_another_seed_others(finished, tmp_path):
    finish(start(tmp_path / "again"))
    assert_same_weights(finished, tmp_path / "again")
    finish(start(tmp_path / "other", seed=1))
    assert any(not torch.equal(value, weights(finished)[name]) for name, value in weights(tmp_path / "other").items())


@pytest.mark.parametrize(("face", "networks"), [("modern", "mlp"), ("paper", "mlp"), ("paper", "conv")])
def test_stopped_and_resumed_run_ends_with_the_same_weights(tmp_path, face, networks):
    options = {"face": face, "networks": networks, "width": 8, "epochs": 2}
    finish(start(tmp_path / "whole", **options))
    session = start(tmp_path / "parts", **options)
    reports = session.play()
    for _ in range(15):
        next(reports)
    session.stop()
    with pytest.raises(Stopped, match="--resume"):
        next(reports)
    assert 0 < session.step < session.steps
    torch.manual_seed(123)  # whatever the process did meanwhile
    resumed = Session.resume(tmp_path / "parts", digits())
    assert resumed.step == session.step
    finish(resumed)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


def test_run_killed_at_random_moments_ends_with_the_same_weights(tmp_path):
    """SIGKILL, also in the middle of a checkpoint: with --save-every 0 the run does little else than write them."""
    command = [sys.executable, "-m", "ali.cli", "train"]
    flags = ["--width", "16", "--depth", "1", "--epochs", "16"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run([*command, "digits", "--out", str(whole), *flags], env=environment, check=True, capture_output=True)

    generator, kills = random.Random(0), 0
    for attempt in range(30):
        going = ["--resume", str(parts)] if parts.exists() else ["digits", "--out", str(parts), *flags]
        process = subprocess.Popen([*command, *going, "--save-every", "0"], env=environment, stdout=subprocess.DEVNULL)
        before = _step(parts)
        deadline = time.monotonic() + 60
        while process.poll() is None and _step(parts) <= before and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(generator.uniform(0, 0.6))
        if attempt < 5 and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        if process.wait() == 0:
            break
    assert kills >= 3
    assert_same_weights(whole, parts)


def _step(run: Path) -> int:
    """Last step in a checkpoint, read while somebody else is writing it."""
    try:
        from safetensors import safe_open

        with safe_open(run / "resume" / "state.safetensors", "pt") as opened:
            return int(opened.metadata()["step"])
    except FileNotFoundError:
        return -1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_say_how_to_go_on(tmp_path, number, status):
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "ali.cli", "train", "digits", "--out", str(run), "--epochs", "4000", "--save-every", "0.2"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    while not (run / "resume" / "state.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, words = process.communicate(timeout=60)
    assert process.returncode == status
    assert f"ali train --resume {run}" in words
    assert "Traceback" not in words
    assert _step(run) > 0


def test_interrupt_in_python_saves_and_resume_goes_on_to_the_same_weights(finished, tmp_path):
    run = tmp_path / "run"
    reports = []

    def interrupt(report):
        reports.append(report)
        if len(reports) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped, match="go on with"):
        ali.Model.train("digits", out=run, report=interrupt, **SMALL)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert _step(run) >= reports[2].step
    ali.Model.resume(run)
    assert_same_weights(finished, run)


def test_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(tmp_path):
    session = start(tmp_path / "run", face="paper")  # which does not go back: see test_health.py
    for number, _ in enumerate(session.play(save_every=0)):
        if number == 10:
            break
    kept = weights(tmp_path / "run")
    resumed = Session.resume(tmp_path / "run", digits())
    with torch.no_grad():
        next(resumed.run.game.discriminator.parameters()).fill_(float("nan"))
    with pytest.raises(Stopped, match=r"loss of the discriminator became nan at step \d+ of 84; the last good checkpoint is intact"):
        finish(resumed)
    assert all(torch.equal(value, kept[name]) for name, value in weights(tmp_path / "run").items())


def test_weight_that_is_no_number_is_never_saved(tmp_path):
    session = start(tmp_path / "run")
    finish(session)
    kept = weights(tmp_path / "run")
    with torch.no_grad():
        next(session.run.game.encoder.parameters()).fill_(float("inf"))
    with pytest.raises(Stopped, match="weight encoder"):
        session.save()
    assert all(torch.equal(value, kept[name]) for name, value in weights(tmp_path / "run").items())


def test_resuming_before_the_first_checkpoint_begins_again(finished, tmp_path):
    session = start(tmp_path / "run")
    next(iter(session.play()))
    shutil.rmtree(tmp_path / "run" / "resume")
    finish(Session.resume(tmp_path / "run", digits()))
    assert_same_weights(finished, tmp_path / "run")


def test_resumed_run_computes_on_as_many_threads_as_before(tmp_path):
    """Sums depend on the number of threads, and with them every bit of the weights."""
    session = start(tmp_path / "run", networks="conv", width=4)
    assert session.config["threads"] == torch.get_num_threads()
    next(iter(session.play()))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"threads": 3}))
    assert {torch.get_num_threads() for _ in Session.resume(tmp_path / "run", digits()).play()} == {3}
    assert start(tmp_path / "small").config["threads"] == 1


def test_threads_can_be_said(tmp_path):
    session = start(tmp_path / "run", threads=2)
    assert session.config["threads"] == 2
    assert {torch.get_num_threads() for _ in session.play()} == {2}


def test_two_processes_never_train_one_run(tmp_path):
    first = start(tmp_path / "run")
    reports = first.play(save_every=0)
    next(reports)
    with pytest.raises(ali.AliError, match="another process is training this run"):
        finish(Session.resume(tmp_path / "run", digits()))
    for _ in reports:
        pass
    assert Session.resume(tmp_path / "run", digits()).step == first.steps


def test_weights_that_two_networks_share_survive_a_checkpoint(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    module[1].weight = module[0].weight
    checkpoint.write_weights(tmp_path / "w.safetensors", module)
    expected = module[0].weight.detach().clone()
    with torch.no_grad():
        module[0].weight.zero_()
    checkpoint.read_weights(tmp_path / "w.safetensors", module)
    assert torch.equal(module[0].weight, expected)


def test_finished_weights_are_never_trained_over_when_resume_was_deleted(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(run / "resume")
    with pytest.raises(ali.AliError, match="nothing to go on from"):
        Session.resume(run, digits())


def test_existing_folder_is_not_overwritten(finished):
    with pytest.raises(ali.AliError, match="exists already"):
        start(finished)


def test_other_rows_are_refused_on_resuming(finished):
    with pytest.raises(ali.AliError, match="other rows"):
        Session.resume(finished, digits(hold_out=0.5))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"widht": 3}, "no argument 'widht'"),
        ({"recipe": "gan2"}, "unknown recipe 'gan2'"),
        ({"face": "postmodern"}, "unknown face"),
        ({"lr": -1.0}, "lr must be above 0"),
        ({"beta1": 1.0}, "beta1 must be at least 0 and below 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"objective": "wasserstein"}, "unknown objective 'wasserstein': choose one of nonsaturating"),
        ({"networks": "cifar10"}, "networks 'cifar10' are for x of shape"),
        ({"penalty": 0.1, "penalty_end": 0.0}, "penalty_end"),
        ({"seed": -1}, "seed"),
        ({"device": "abacus"}, "device 'abacus'"),
        ({"encoder": "telepathic"}, "encoder must be one of gaussian, implicit, deterministic, got 'telepathic'"),
        ({"networks": "resnet"}, "networks must be one of mlp, conv, compact, residual, mixture"),
        ({"latent": 2.5}, "latent must be int, got 2.5"),
        ({"lr": "fast"}, "lr must be float, got 'fast'"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"graph": True, "device": "cpu"}, "graph captures a step for a GPU with CUDA, and this device is cpu"),
        ({"device": "meta"}, "device 'meta' can not be used here"),
        ({"recipe": lambda spec: None}, "must return an ali.recipes.Run"),
        ({"recipe": lambda spec: replace(recipes.ali(spec, width=8), optimizers={})}, "each needs one"),
    ],
)
def test_bad_arguments_are_refused_in_words_and_leave_no_folder(tmp_path, options, words):
    small = {} if "recipe" in options else SMALL
    with pytest.raises(ali.AliError, match=words):
        Session.start("digits", digits(), tmp_path / "run", **small | options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: (run / "config.json").unlink(), "config.json is missing"),
        (lambda run: (run / "config.json").write_text('{"recipe": '), "config.json: broken"),
        (lambda run: (run / "config.json").write_text("{}"), "not one that this version of ali can read"),
        (lambda run: (run / "preprocess.json").write_text('{"kind": "magic"}'), "not one that this version"),
        (lambda run: (run / "model.safetensors").unlink(), "has no weights yet"),
        (lambda run: (run / "model.safetensors").write_bytes(b"PK\x03\x04"), "model.safetensors: broken"),
        (lambda run: _truncate(run / "model.safetensors"), "model.safetensors: broken"),
        (lambda run: _argue(run, width=32), "not the weights of the networks that config.json describes"),
        (lambda run: _argue(run, width=-4), "width must be at least 1"),
        (lambda run: _argue(run, surprise=1), "not one that this version of ali can read"),
    ],
)
def test_broken_run_folders_are_refused_in_words(finished, tmp_path, damage, words):
    run = shutil.copytree(finished, tmp_path / "run")
    damage(run)
    with pytest.raises(ali.AliError, match=words):
        ali.load(run)


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _argue(run: Path, **arguments) -> None:
    config = json.loads((run / "config.json").read_text())
    config["arguments"] |= arguments
    (run / "config.json").write_text(json.dumps(config))


def test_file_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "value.json"
    checkpoint.write_json(file, {"a": 1})
    with pytest.raises(TypeError):
        checkpoint.write_json(file, {"a": object()})
    assert json.loads(file.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_an_edited_config_is_refused_on_resuming(tmp_path):
    finish(start(tmp_path / "run"))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    Session.resume(tmp_path / "run", digits())
    config["seed"], config["arguments"]["lr"] = 5, 0.5
    checkpoint.write_json(tmp_path / "run" / "config.json", config)
    with pytest.raises(ali.AliError, match=r"config.json was edited since training began: seed was 0, now 5"):
        Session.resume(tmp_path / "run", digits())
    config["seed"] = 0
    checkpoint.write_json(tmp_path / "run" / "config.json", config)
    with pytest.raises(ali.AliError, match=r"lr was 0.002, now 0.5"):
        Session.resume(tmp_path / "run", digits())


def test_a_broken_state_leaves_every_verb_but_resume(finished, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    state = run / "resume" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(ali.AliError, match="every verb but --resume works"):
        Session.resume(run, digits())
    assert len(ali.load(run).sample(2)) == 2


@pytest.mark.parametrize(("key", "value", "words"), [("latent", 5, "has shape .* was config.json"), ("width", "x", "width must be int")])
def test_config_that_does_not_fit_the_weights_is_told_in_one_sentence(finished, tmp_path, key, value, words):
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    config = json.loads((run / "config.json").read_text())
    config["arguments"][key] = value
    checkpoint.write_json(run / "config.json", config)
    with pytest.raises(ali.AliError, match=words) as error:
        ali.load(run)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_whose_white_is_another_are_refused(tmp_path, dtype):
    x = digits().train.x[:60].astype(dtype)  # 0 to 16
    with pytest.raises(AliError, match=r"the brightest pixel is 16, far below 255.* divide by it"):
        ali.Model.train("images", x, out=tmp_path / "run", epochs=1)
    assert not (tmp_path / "run").exists()
    ali.Model.train("images", (x / 16).astype("float32"), out=tmp_path / "run", epochs=1, width=4)
