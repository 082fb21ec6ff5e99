"""Settings: their sources, their checks, and keys that are never displayed."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest

from charthero_ext import ChartHero, Settings, Timeouts
from charthero_ext.errors import ConfigurationError

KEY = "ch_sk_synthetic_settings"


def read_key(settings: Settings) -> str:
    return settings.key_source.checked(settings.key_source.read()).reveal()


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path that CHARTHERO_API_KEY_FILE names."""
    path = tmp_path / "key"
    monkeypatch.setenv("CHARTHERO_API_KEY_FILE", str(path))
    monkeypatch.setenv("CHARTHERO_BASE_URL", "https://api.example.test")
    return path


@pytest.fixture
def with_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the host and the key in the environment."""
    monkeypatch.setenv("CHARTHERO_API_KEY", KEY)
    monkeypatch.setenv("CHARTHERO_BASE_URL", "https://environment.example.test")


def write_profiles(text: str) -> None:
    path = Path("~/.config/charthero/config.toml").expanduser()
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://api.example.test",
        "api.example.test",
        "https://",
        "https://user:pass@api.example.test",
        "https://api.example.test?key=1",
        "https://api.example.test/v2",
        "https://[bad",
        "https://api.example.test:99999",
        "https://api.example.test:0",
        *[f"https://api{odd}x.example.test" for odd in " \n\x00,~$\u200b\u202e\u3000%"],
        "https://api.example.test\\@elsewhere.test",
        "https://api.example.test\\.elsewhere.test",
        "http://[::1%25eth0]",
        "https://[v1.elsewhere]",
        "https://api..example.test",
        "https://.example.test",
        "https://.",
        "https://api.example.test#part",
        "/external/v1",
        "",
        b"https://api.example.test",
        5,
    ],
)
def test_an_invalid_base_url_is_refused_and_not_displayed(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="the base URL of the arguments must be https:// and a host") as caught:
        Settings.load(api_key=KEY, base_url=url)
    assert "user:pass" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["api.example.test", "127.0.0.1.example.test", "localhost.", "localhost.example.test", "127.1"]
)
def test_http_is_refused_unless_the_host_is_this_machine(host: str) -> None:
    with pytest.raises(ConfigurationError, match="the base URL of the arguments must be https; http is for loopback"):
        Settings.load(api_key=KEY, base_url=f"http://{host}")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.example.test", "https://api.example.test"),
        ("https://api.example.test/", "https://api.example.test"),
        ("https://api.example.test/external/v1/", "https://api.example.test"),
        (" https://API.example.test ", "https://api.example.test"),
        ("https://api.example.test\n", "https://api.example.test"),
        ("https://api.example.test:443", "https://api.example.test"),
        ("https://api.example.test:8443/external/v1", "https://api.example.test:8443"),
        ("https://api.example.test:", "https://api.example.test"),
        ("http://LOCALHOST:80", "http://localhost"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://[2001:DB8::1]:443", "https://[2001:db8::1]"),
        ("https://[2001:db8:0:0::1]:444", "https://[2001:db8::1]:444"),
        ("https://BÜCHER.example.test", "https://bücher.example.test"),
        ("https://हिन्दी.example.test", "https://हिन्दी.example.test"),
        ("https://api_1-a.example.test.", "https://api_1-a.example.test."),
    ],
)
def test_base_urls_of_one_host_are_equal(url: str, kept: str) -> None:
    assert Settings.load(api_key=KEY, base_url=url).base_url == kept
    ChartHero(api_key=KEY, base_url=url).close()


@pytest.mark.parametrize("key", ["", "   ", "ch_sk one", "ch_sk\n", "\tch_sk", "ch_sk_é", "ch\x00sk"])
def test_a_key_that_is_not_a_valid_header_is_refused_and_not_displayed(key: str) -> None:
    with pytest.raises(ConfigurationError, match="the argument api_key") as caught:
        ChartHero(api_key=key, base_url="https://api.example.test")
    assert not key.strip() or key not in str(caught.value)


def pair(settings: Settings) -> tuple[str, str]:
    return settings.base_url.removeprefix("https://").removesuffix(".example.test"), read_key(settings)


def test_arguments_override_the_environment_which_overrides_the_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("ch_sk_staging")
    byte_order_mark = "\ufeff"  # Some editors write one.
    write_profiles(f"""{byte_order_mark}
        [default]
        base_url = "https://default.example.test"
        api_key_env = "PROFILE_KEY"
        [staging]
        base_url = "https://staging.example.test"
        api_key_file = "{tmp_path / "key"}"
    """)
    monkeypatch.setenv("PROFILE_KEY", "ch_sk_default")
    assert pair(Settings.load()) == ("default", "ch_sk_default")
    monkeypatch.setenv("CHARTHERO_PROFILE", "staging")
    assert pair(Settings.load()) == ("staging", "ch_sk_staging")
    monkeypatch.setenv("CHARTHERO_API_KEY", "ch_sk_environment")
    assert pair(Settings.load()) == ("staging", "ch_sk_environment")
    monkeypatch.setenv("CHARTHERO_BASE_URL", "https://environment.example.test")
    assert pair(Settings.load()) == ("environment", "ch_sk_environment")
    assert pair(Settings.load(profile="staging")) == ("staging", "ch_sk_staging")
    assert pair(Settings.load(api_key=KEY, base_url="https://given.example.test")) == ("given", KEY)


@pytest.mark.parametrize(
    "broken",
    [
        {"CHARTHERO_API_KEY": "  "},
        {"CHARTHERO_API_KEY": "ch_sk_a", "CHARTHERO_API_KEY_FILE": "/nowhere"},
        {"CHARTHERO_API_KEY_FILE": "/nowhere"},
        {"CHARTHERO_BASE_URL": "http://elsewhere.example.test"},
        {"CHARTHERO_PROFILE": "missing"},
    ],
)
def test_a_broken_source_is_not_read_once_host_and_key_are_found(
    monkeypatch: pytest.MonkeyPatch, broken: dict[str, str]
) -> None:
    write_profiles("not toml at all")
    for name, value in broken.items():
        monkeypatch.setenv(name, value)
    assert pair(Settings.load(api_key=KEY, base_url="https://given.example.test")) == ("given", KEY)


@pytest.mark.usefixtures("with_environment")
def test_a_complete_environment_does_not_depend_on_a_broken_profile() -> None:
    write_profiles("not toml at all")
    assert pair(Settings.load()) == ("environment", KEY)


@pytest.mark.usefixtures("with_environment")
def test_a_key_is_not_used_with_the_host_of_another_source() -> None:
    with pytest.raises(
        ConfigurationError,
        match="the key in the environment variables belongs to another host than the one in the arguments",
    ):
        Settings.load(base_url="https://sandbox.example.test")
    assert pair(Settings.load(base_url="https://environment.example.test/external/v1")) == ("environment", KEY)


def test_a_changed_key_file_is_read_again_and_a_deleted_one_is_an_error(key_file: Path) -> None:
    key_file.write_text("ch_sk_1")
    settings = Settings.load()
    assert read_key(settings) == "ch_sk_1"
    key_file.write_text("ch_sk_2")
    assert read_key(settings) == "ch_sk_2"
    key_file.unlink()
    with pytest.raises(ConfigurationError, match="No such file"):
        read_key(settings)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfch_sk_x", b"ch_sk_x\r\n", b"ch_sk_x\n\n"])
def test_a_key_file_may_have_a_byte_order_mark_and_line_ends(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)
    assert read_key(Settings.load()) == "ch_sk_x"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no API key"),
        (b"canary" * 1000, "more than a key"),
        (b"canary\xff", "not a path of a text file"),
        (b"canary b", "white space"),
    ],
)
def test_a_key_file_without_a_valid_key_is_refused(key_file: Path, content: bytes, complaint: str) -> None:
    key_file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        Settings.load()
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "seconds", [0, -1, float("nan"), float("inf"), pytest.param(10**400, id="huge"), True, "5", None]
)
@pytest.mark.parametrize("part", ["connect", "read", "write", "pool"])
def test_an_invalid_timeout_error_names_the_timeout(part: str, seconds: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{part} must be a number of seconds above 0"):
        Timeouts(**{part: seconds})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", 0),
        ("attempts", 1.5),
        ("attempts", True),
        ("total_timeout", 0),
        ("total_timeout", float("inf")),
        ("total_timeout", "60"),
        ("timeouts", None),
        ("timeouts", 5),
        ("media_hosts", "media.example.test"),
    ],
)
def test_an_invalid_setting_error_names_the_setting(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be"):
        Settings.load(api_key=KEY, base_url="https://api.example.test", **{name: value})  # type: ignore[arg-type]


def test_default_and_smallest_settings() -> None:
    default = Settings.load(api_key=KEY, base_url="https://api.example.test")
    assert default == Settings(base_url="https://api.example.test", key_source=default.key_source)
    assert default.timeouts == Timeouts(connect=5, read=30, write=30, pool=30)
    assert (default.attempts, default.total_timeout, default.http_logging) == (4, 60, False)
    smallest = attrs.evolve(default, attempts=1, total_timeout=0.001)
    assert (smallest.attempts, smallest.total_timeout) == (1, 0.001)


def test_a_key_file_is_read_only_as_far_as_a_key_can_be_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "key"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # A terabyte that takes no space on the disk.
    monkeypatch.setenv("CHARTHERO_API_KEY_FILE", str(path))
    monkeypatch.setenv("CHARTHERO_BASE_URL", "https://x.example.test")
    with pytest.raises(ConfigurationError, match="holds more than a key"):
        Settings.load()


@pytest.mark.parametrize(
    ("path", "reason"),
    [(" ", "No such file"), ("~missing-synthetic/key", "No such file"), ("a\\u0000b", "not a path of a text file")],
)
def test_an_invalid_key_file_path_is_an_error_when_the_key_is_read(path: str, reason: str) -> None:
    write_profiles(f'[default]\nbase_url = "https://x.example.test"\napi_key_file = "{path}"\n')
    with pytest.raises(ConfigurationError, match=f"cannot be read: .*{reason}"):
        ChartHero().encounters.get("enc_1")


@pytest.mark.parametrize(
    ("profile", "complaint"),
    [
        ("base_ulr = 'https://x.test'", "has base_ulr; it must have base_url, and either"),
        ("base_url = 'https://x.test'", "must have base_url, and either"),
        ("base_url = 1\napi_key_env = 'K'", "as text"),
        ("api_key_env = 'K'", "must have base_url, and either"),
        ("base_url = 'https://x.test'\napi_key_env = 'K'\napi_key_file = 'k'", "must have base_url, and either"),
        ("base_url = 'https://x.test'\napi_key_env = 'UNSET'", "api_key_env of the profile 'default'"),
        ("base_url = 'http://x.test'\napi_key_env = 'HOME'", "base URL of the profile 'default' .* https"),
        ("not toml at all", "cannot be read: it is not TOML"),
        (f"nested = {'[' * 100_000}", "cannot be read: it is not TOML"),
    ],
)
def test_a_profile_error_names_the_mistake(profile: str, complaint: str) -> None:
    write_profiles(f"[default]\n{profile}\n")
    with pytest.raises(ConfigurationError, match=complaint):
        Settings.load()


def test_an_unknown_profile_error_lists_the_known_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="no profile 'c'; it has: none"):
        Settings.load(profile="c")
    write_profiles("c = 1\n[a]\n")
    monkeypatch.setenv("CHARTHERO_PROFILE", "c")
    with pytest.raises(ConfigurationError, match="no profile 'c'; it has: a, c"):
        Settings.load()


@pytest.mark.usefixtures("with_environment")
def test_a_blank_profile_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    write_profiles("[default]\nbase_url = 'https://production.example.test'\napi_key_env = 'HOME'\n")
    with pytest.raises(ConfigurationError, match="no profile ''"):
        Settings.load(profile="")
    monkeypatch.delenv("CHARTHERO_BASE_URL")
    monkeypatch.setenv("CHARTHERO_PROFILE", "")
    with pytest.raises(ConfigurationError, match="no profile ''"):
        Settings.load()


def test_an_unreadable_profile_file_is_named() -> None:
    Path("~/.config/charthero/config.toml").expanduser().mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"config\.toml cannot be read: Is a directory"):
        Settings.load()


def test_without_a_home_directory_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", str)  # Without a home directory, it changes nothing.
    with pytest.raises(ConfigurationError, match="CHARTHERO_BASE_URL"):
        Settings.load(api_key=KEY)


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"API_KEY": KEY, "API_KEY_FILE": "/nowhere"}, "CHARTHERO_API_KEY and CHARTHERO_API_KEY_FILE are both set"),
        ({"API_KEY": " "}, "CHARTHERO_API_KEY holds no API key"),
        ({"API_KEY_FILE": "/nowhere"}, "CHARTHERO_API_KEY_FILE cannot be read: No such file"),
        ({"API_KEY": KEY, "BASE_URL": " "}, "base URL of the environment variables must be https://"),
    ],
)
def test_an_invalid_environment_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], complaint: str
) -> None:
    for name, value in {"BASE_URL": "https://api.example.test", **variables}.items():
        monkeypatch.setenv(f"CHARTHERO_{name}", value)
    with pytest.raises(ConfigurationError, match=complaint):
        Settings.load()


def test_a_key_callable_runs_only_when_a_key_is_needed() -> None:
    asked: list[str] = []

    def ask() -> str:
        asked.append("asked")
        return KEY

    settings = Settings.load(api_key=ask, base_url="https://api.example.test")
    assert asked == []
    assert read_key(settings) == KEY


def test_missing_settings_errors_name_the_variables() -> None:
    with pytest.raises(ConfigurationError, match="CHARTHERO_BASE_URL"):
        Settings.load(api_key=KEY)
    with pytest.raises(ConfigurationError, match="CHARTHERO_API_KEY"):
        Settings.load(base_url="https://api.example.test")


def test_settings_are_checked_however_they_are_made() -> None:
    settings = Settings.load(api_key=KEY, base_url="https://api.example.test")
    with pytest.raises(ConfigurationError, match="the base URL of the settings"):
        attrs.evolve(settings, base_url="http://api.example.test")
    with pytest.raises(TypeError, match="atempts"):
        attrs.evolve(settings, atempts=2)


def test_settings_do_not_display_or_pickle_a_given_key() -> None:
    settings = Settings.load(api_key=KEY, base_url="https://api.example.test", timeouts=Timeouts.of(3))
    twin = pickle.loads(pickle.dumps(settings))
    assert KEY not in repr(settings)
    assert KEY.encode() not in pickle.dumps(settings)
    assert twin.timeouts == Timeouts(connect=3, read=3, write=3, pool=3)
    with pytest.raises(ConfigurationError, match="pickled settings do not contain a key"):
        read_key(twin)


def test_pickled_settings_read_the_key_where_they_are_used(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_file.write_text("ch_sk_driver")
    from_file = pickle.dumps(Settings.load())
    monkeypatch.delenv("CHARTHERO_API_KEY_FILE")
    monkeypatch.setenv("CHARTHERO_API_KEY", "ch_sk_driver")
    from_variable = pickle.dumps(Settings.load())
    key_file.write_text("ch_sk_worker")
    monkeypatch.setenv("CHARTHERO_API_KEY", "ch_sk_worker")
    for pickled in (from_file, from_variable):
        assert b"ch_sk_driver" not in pickled
        assert read_key(pickle.loads(pickled)) == "ch_sk_worker"


def test_a_copy_of_settings_keeps_the_key() -> None:
    settings = Settings.load(api_key=KEY, base_url="https://api.example.test")
    for twin in (copy.copy(settings), copy.deepcopy(settings), attrs.evolve(settings, attempts=2)):
        assert read_key(twin) == KEY


def test_settings_with_different_keys_are_not_equal() -> None:
    one, other = (Settings.load(api_key=key, base_url="https://api.example.test") for key in ("ch_sk_a", "ch_sk_b"))
    assert one != other


def test_the_repr_of_a_client_shows_only_its_host() -> None:
    assert repr(ChartHero(api_key=KEY, base_url="https://api.example.test")) == (
        "ChartHero(base_url='https://api.example.test')"
    )
