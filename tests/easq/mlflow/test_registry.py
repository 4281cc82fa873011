"""A version comes out of the registry as it went in, once, and whole."""

import os
import shutil
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest

from easq import registry
from easq.artefact import digest_of, load_ranker
from easq.free_ports import free_port
from easq.registry import champion, fetch, publish
from easq.registry_client import MlflowAwayError, connect
from easq.samples import flatten
from easq.train.share import share_of

NAME = "easq-ranker"


@pytest.fixture
def version(trained):
    return trained.version(trained.learn())


def all_samples(trained):
    (window,) = trained.history.windows()
    return trained.history.read(window)


def learner_scores(trained):
    (window,) = trained.history.windows()
    return trained.learner.score(share_of(all_samples(trained), window, 1, 0, 1)).main


def test_an_empty_registry_has_no_champion(mlflow_uri):
    assert champion(mlflow_uri, NAME) is None


def test_a_model_without_the_alias_has_no_champion(mlflow_uri):
    connect(mlflow_uri).create_registered_model(NAME)
    assert champion(mlflow_uri, NAME) is None


def test_the_champions_files_score_like_the_learner(trained, version, mlflow_uri, tmp_path):
    published = publish(mlflow_uri, NAME, version)
    assert champion(mlflow_uri, NAME) == published
    ranker = load_ranker(fetch(mlflow_uri, published, tmp_path / "cache"))
    flat = flatten(all_samples(trained))
    expected = learner_scores(trained)
    assert expected.std() > 0.01
    np.testing.assert_allclose(ranker.score(flat.columns), expected, rtol=0, atol=1e-6)


def test_pyfunc_scores_like_the_learner_and_unpickles_nothing(
    trained, version, mlflow_uri, monkeypatch
):
    publish(mlflow_uri, NAME, version)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    requests = all_samples(trained).to_pandas()
    known = [c for c in requests if not c.startswith(("behaviour.", "answer"))]
    given = mlflow.pyfunc.load_model(f"models:/{NAME}@champion").predict(requests[known])
    assert [len(scores) for scores in given["scores"]] == [len(i) for i in requests["item_id"]]
    flat = np.concatenate(given["scores"].to_list())
    np.testing.assert_allclose(flat, learner_scores(trained), rtol=0, atol=1e-6)


def test_pyfunc_takes_lists_as_json_brings_them(trained, version, mlflow_uri, monkeypatch):
    publish(mlflow_uri, NAME, version)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    ranker = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    frame = all_samples(trained).slice(0, 3).to_pandas()
    lists = frame.map(lambda cell: cell.tolist() if isinstance(cell, np.ndarray) else cell)
    assert ranker.predict(lists)["scores"].to_list() == ranker.predict(frame)["scores"].to_list()


def test_no_file_of_a_version_is_a_pickle(version, mlflow_uri, tmp_path):
    published = publish(mlflow_uri, NAME, version)
    names = {path.name for path in Path(published.uri).rglob("*") if path.is_file()}
    assert {"MLmodel", "registry_pyfunc.py", "ranker.safetensors", "manifest.json"} <= names
    assert not [n for n in names if n.endswith((".pkl", ".pickle", ".pt", ".bin"))]


def test_publishing_the_same_directory_twice_gives_one_version(version, mlflow_uri):
    first = publish(mlflow_uri, NAME, version)
    assert publish(mlflow_uri, NAME, version) == first
    assert len(connect(mlflow_uri).search_model_versions(f"name = '{NAME}'")) == 1


def test_a_crash_between_registering_and_the_alias_is_made_good(version, mlflow_uri):
    first = publish(mlflow_uri, NAME, version)
    connect(mlflow_uri).delete_registered_model_alias(NAME, registry.CHAMPION)
    assert champion(mlflow_uri, NAME) is None
    assert publish(mlflow_uri, NAME, version) == first
    assert champion(mlflow_uri, NAME) == first


def test_a_champion_that_was_not_published_here_is_refused_in_a_sentence(version, mlflow_uri):
    published, client = publish(mlflow_uri, NAME, version), connect(mlflow_uri)
    by_hand = client.create_model_version(NAME, published.uri, published.run_id)
    client.set_registered_model_alias(NAME, registry.CHAMPION, by_hand.version)
    with pytest.raises(ValueError, match=r"version 2 has no tag easq\.digest.*publish again"):
        champion(mlflow_uri, NAME)


def test_the_same_checkpoint_makes_the_same_digest(trained):
    checkpoint = trained.learn()
    first = digest_of(trained.version(checkpoint))
    assert digest_of(trained.version(checkpoint)) == first
    assert digest_of(trained.version(trained.learn())) != first


def test_the_champion_is_what_was_published_last(trained, mlflow_uri):
    first = publish(mlflow_uri, NAME, trained.version(trained.learn()))
    second = publish(mlflow_uri, NAME, trained.version(trained.learn()))
    assert (first.version, second.version) == (1, 2)
    assert champion(mlflow_uri, NAME) == second


def test_a_damaged_directory_is_not_published(version, mlflow_uri):
    (version / "golden.arrow").write_bytes(b"")
    with pytest.raises(ValueError, match=r"golden\.arrow is missing or damaged"):
        publish(mlflow_uri, NAME, version)
    assert champion(mlflow_uri, NAME) is None


def test_an_artefact_damaged_in_the_store_never_enters_the_cache(version, mlflow_uri, tmp_path):
    published = publish(mlflow_uri, NAME, version)
    stored = Path(published.uri) / "artifacts" / "version" / "ranker.safetensors"
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"ranker\.safetensors is missing or damaged"):
        fetch(mlflow_uri, published, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_versions_files_are_refused(trained, mlflow_uri, tmp_path):
    first = publish(mlflow_uri, NAME, trained.version(trained.learn()))
    second = publish(mlflow_uri, NAME, trained.version(trained.learn()))
    for file in ("ranker.safetensors", "version.json", "golden.arrow", "manifest.json"):
        part = Path("artifacts") / "version" / file
        shutil.copy(Path(first.uri) / part, Path(second.uri) / part)
    with pytest.raises(ValueError, match=f"expected a version with digest {second.digest}"):
        fetch(mlflow_uri, second, tmp_path / "cache")


def test_a_download_that_broke_off_is_not_taken_for_the_version(version, mlflow_uri, tmp_path):
    published = publish(mlflow_uri, NAME, version)
    cache = tmp_path / "cache"
    stored = Path(published.uri) / "artifacts" / "version" / "version.json"
    text = stored.read_text()
    stored.unlink()
    with pytest.raises(ValueError, match="missing or damaged"):
        fetch(mlflow_uri, published, cache)
    assert not (cache / published.digest).exists()
    stored.write_text(text)
    assert load_ranker(fetch(mlflow_uri, published, cache)).file.position.next_window == 1


def test_what_was_fetched_once_needs_no_mlflow(version, mlflow_uri, tmp_path):
    published = publish(mlflow_uri, NAME, version)
    files = fetch(mlflow_uri, published, tmp_path / "cache")
    assert fetch(nobody_listens(), published, tmp_path / "cache") == files


def test_a_version_that_is_fetched_again_is_the_newest_of_the_cache(version, mlflow_uri, tmp_path):
    published = publish(mlflow_uri, NAME, version)
    files = fetch(mlflow_uri, published, tmp_path / "cache")
    os.utime(files, (0, 0))
    fetch(mlflow_uri, published, tmp_path / "cache")
    assert files.stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("file", ["ranker.safetensors", "manifest.json"])
def test_what_was_damaged_in_the_cache_is_fetched_again(version, mlflow_uri, tmp_path, file):
    published = publish(mlflow_uri, NAME, version)
    files = fetch(mlflow_uri, published, tmp_path / "cache")
    whole = (files / file).read_bytes()
    (files / file).write_bytes(whole[: len(whole) // 2])
    assert fetch(mlflow_uri, published, tmp_path / "cache") == files
    assert (files / file).read_bytes() == whole
    assert load_ranker(files).file.position.next_window == 1


def test_an_absent_mlflow_is_told_from_an_empty_one(mlflow_uri):
    with pytest.raises(MlflowAwayError, match="does not answer"):
        champion(nobody_listens(), NAME)


def test_a_relative_database_is_refused():
    with pytest.raises(ValueError, match="absolute"):
        champion("sqlite:///mlflow.db", NAME)


def test_nothing_is_written_to_the_working_directory(version, mlflow_uri, tmp_path, monkeypatch):
    here = tmp_path / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    publish(mlflow_uri, NAME, version)
    assert list(here.iterdir()) == []


def nobody_listens() -> str:
    return f"http://127.0.0.1:{free_port()}"
