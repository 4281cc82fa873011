"""What `python -m serving.up` says of settings that it cannot start with."""

import pytest

from serving import up

CASES = [
    # setting, value, words of the sentence
    ("EASQ_PORT", "abc", "EASQ_PORT: Input should be a valid integer"),
    ("EASQ_PORT", "abc", "got 'abc'"),
    ("EASQ_POLL_SECONDS", "0", "EASQ_POLL_SECONDS: Input should be greater than 0; got '0'"),
    ("EASQ_MAX_CANDIDATES", "65536", "should be less than or equal to 65535"),
    ("EASQ_MAX_CANDIDATE", "5", "EASQ_MAX_CANDIDATE: expected one of EASQ_API_KEY, EASQ_ASK_"),
    ("EASQ_API_KEY", "", "EASQ_API_KEY: expected a key of at least one character"),
    ("EASQ_HOST", "0.0.0.0", "set EASQ_API_KEY"),
]


@pytest.mark.parametrize(("setting", "value", "words"), CASES)
def test_a_bad_setting_is_a_sentence_and_exit_code_2(monkeypatch, capsys, setting, value, words):
    monkeypatch.setenv(setting, value)
    with pytest.raises(SystemExit) as ended:
        up.main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert words in told
    assert "pydantic" not in told


def test_a_key_is_not_printed(monkeypatch, capsys):
    monkeypatch.setenv("EASQ_API_KEY", "secret")
    monkeypatch.setenv("EASQ_PORT", "70000")
    with pytest.raises(SystemExit):
        up.main()
    assert "secret" not in capsys.readouterr().err
