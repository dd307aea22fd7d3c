"""The environment is read once, and a wrong value is named in a sentence."""

from pathlib import Path

import pytest

from match_service.settings import Settings, SettingsError


def test_nothing_configured_serves_the_embedded_store_on_loopback() -> None:
    settings = Settings.from_environ({})
    assert (settings.host, settings.port, settings.elasticsearch_url) == ("127.0.0.1", 8888, "")
    assert (settings.data, settings.workers, settings.all_orientations) == (Path("match.db"), 1, True)


def test_every_variable_of_the_original_is_honoured() -> None:
    settings = Settings.from_environ(
        {
            "ELASTICSEARCH_URL": "http://es:9200",
            "ELASTICSEARCH_INDEX": "photos",
            "ELASTICSEARCH_DOC_TYPE": "images",
            "ALL_ORIENTATIONS": "false",
            "PORT": "80",
            "WORKER_COUNT": "7",
        }
    )
    assert settings.elasticsearch_url == "http://es:9200"
    assert (settings.elasticsearch_index, settings.elasticsearch_doc_type) == ("photos", "images")
    assert (settings.all_orientations, settings.port, settings.workers) == (False, 80, 7)


def test_elasticsearch_gets_the_originals_four_processes() -> None:
    assert Settings.from_environ({"ELASTICSEARCH_URL": "http://es:9200"}).workers == 4


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_environ({"PORT": "", "MATCH_DATA": " ", "ALL_ORIENTATIONS": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", "http", "PORT must be a whole number from 0 to 65535, not 'http'."),
        ("PORT", "70000", "PORT must be a whole number from 0 to 65535, not '70000'."),
        ("PORT", "٣", "PORT must be a whole number from 0 to 65535, not '٣'."),
        ("WORKER_COUNT", "0", "WORKER_COUNT must be a whole number from 1 to 1024, not '0'."),
        ("ALL_ORIENTATIONS", "maybe", "ALL_ORIENTATIONS must be true or false, not 'maybe'."),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.from_environ({name: value})
    assert str(refusal.value) == sentence


def test_credentials_do_not_show_when_settings_are_printed() -> None:
    assert "secret" not in repr(Settings.from_environ({"ELASTICSEARCH_URL": "https://elastic:secret@es"}))
