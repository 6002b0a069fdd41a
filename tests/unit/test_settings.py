"""The settings: where they come from, what is refused and in which words, and that their page is current."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from taskq import settings as module
from taskq.settings import Settings, flag_of, split_address, unknown_variables, variable_of

ROOT = Path(__file__).parents[2]

DEFAULTS = {
    "namespaces": (),
    "kubeconfig": "",
    "context": "",
    "implicit_default_queue": True,
    "log_format": "text",
    "log_level": "info",
    "http_address": "127.0.0.1:8080",
    "metrics_max_queues": 500,
    "metrics_max_schedules": 500,
    "api_address": "",
    "api_tls_cert_file": "",
    "api_tls_key_file": "",
    "api_anonymous": False,
    "api_requests_per_second": 20,
    "leader_election": True,
    "lease_name": "taskq-operator",
    "lease_duration_seconds": 8,
    "lease_renew_seconds": 1,
    "lease_renew_deadline_seconds": 3,
    "cluster_max_concurrency": 0,
    "launchers": 16,
    "status_writers": 8,
    "create_timeout_seconds": 4,
    "launch_backoff_base_seconds": 2,
    "launch_backoff_max_seconds": 60,
    "running_after_seconds": 2,
    "queue_status_seconds": 2,
    "events_per_second": 20,
    "webhooks_file": "",
    "hook_backoff_seconds": 10,
    "shutdown_grace_seconds": 10,
    "api_connections": 40,
    "request_timeout_seconds": 30,
    "watch_inactivity_seconds": 90,
    "list_chunk_size": 500,
    "resync_seconds": 600,
    "raw_limit_bytes": 8192,
    "retention_scan_seconds": 600,
}


def refusal(capsys: pytest.CaptureFixture[str], *argv: str, env: dict[str, str] | None = None) -> str:
    """What is said of bad input: asserts that it is one line on stderr and that the exit code is 2."""
    with pytest.raises(SystemExit) as exit_:
        Settings.load(argv, env or {})
    said = capsys.readouterr()
    assert exit_.value.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    return said.err


def test_every_default_is_what_it_was_yesterday():
    """A changed default changes every installation: it must be changed here too, knowingly."""
    assert Settings().model_dump(exclude={"identity", "lease_namespace"}) == DEFAULTS


def test_the_lease_is_in_the_pods_namespace(monkeypatch, tmp_path):
    """In a pod the service account's files name the namespace."""
    file = tmp_path / "namespace"
    file.write_text("queues\n")
    monkeypatch.setattr(module, "POD_NAMESPACE_FILE", file)
    assert Settings().lease_namespace == "queues"


def test_outside_of_a_pod_the_lease_is_in_the_default_namespace(monkeypatch, tmp_path):
    """On a laptop there is no service account."""
    monkeypatch.setattr(module, "POD_NAMESPACE_FILE", tmp_path / "absent")
    assert Settings().lease_namespace == "default"


def test_two_starts_of_one_process_have_different_identities():
    """Else a restarted operator would take its predecessor's Lease for its own."""
    assert Settings().identity != Settings().identity


def test_settings_can_not_be_changed():
    """Nothing may depend on when it looked."""
    with pytest.raises(ValidationError):
        Settings().launchers = 3  # type: ignore[misc]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "taskq.yaml"
    path.write_text("launchers: 5\nlog_format: json\nnamespaces: [a, b]\ncontext:\n")
    return path


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(file):
    """Each source is asked in turn."""
    env = {"TASKQ_CONFIG": str(file)}
    assert Settings.load([], {}).launchers == 16
    assert Settings.load([], env).launchers == 5
    assert Settings.load([], env | {"TASKQ_LAUNCHERS": "6"}).launchers == 6
    assert Settings.load(["--launchers", "7"], env | {"TASKQ_LAUNCHERS": "6"}).launchers == 7


def test_the_flag_config_wins_over_its_variable(file):
    """So that a container's own file can be replaced from the command line."""
    loaded = Settings.load(["--config", str(file)], {"TASKQ_CONFIG": "/nowhere"})
    assert (loaded.launchers, loaded.log_format, loaded.namespaces, loaded.context) == (
        5,
        "json",
        ("a", "b"),
        "",
    )


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_setting_can_be_given_in_every_way(name, tmp_path):
    """Flag, variable and file take the same text to the same value."""
    value = DEFAULTS[name]
    text = ",".join(value) if isinstance(value, tuple) else str(value).lower()
    text = "127.0.0.1:8081" if name == "api_address" else text or "x"
    path = tmp_path / "taskq.yaml"
    path.write_text(f"{name}: {text!r}\n")
    by_flag = Settings.load([flag_of(name), text], {})
    by_variable = Settings.load([], {variable_of(name): text})
    by_file = Settings.load(["--config", str(path)], {})
    assert getattr(by_flag, name) == getattr(by_variable, name) == getattr(by_file, name)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--namespaces=a,b"], ("a", "b")),
        (["--namespaces", "b", "--namespaces", "a, b"], ("b", "a")),
        (["--namespaces="], ()),
    ],
)
def test_namespaces_are_comma_separated_or_repeated(argv, expected):
    """Also an empty list can be given, over a variable that names some."""
    assert Settings.load(argv, {"TASKQ_NAMESPACES": "z"}).namespaces == expected


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], True),
        (["--leader-election=false"], False),
        (["--leader-election", "no"], False),
        (["--leader-election"], True),
    ],
)
def test_a_switch_takes_a_value_or_none(argv, expected):
    """As Kubernetes' own components do it."""
    assert Settings.load(argv, {}).leader_election is expected


def test_words_may_be_written_in_capitals():
    """INFO is how half of the world spells it."""
    assert Settings.load(["--log-level", "WARNING"], {"TASKQ_LOG_FORMAT": "JSON"}).log_level == "warning"


def test_a_variable_set_to_nothing_is_not_set():
    """Manifests often spell «not set» like this."""
    assert Settings.load([], {"TASKQ_LAUNCHERS": "", "TASKQ_CONFIG": ""}).launchers == 16


@pytest.mark.parametrize(
    ("argv", "env", "words"),
    [
        (["--launchers", "abc"], {}, "whole number from 1 to 256, got 'abc' from --launchers"),
        ([], {"TASKQ_LAUNCHERS": "0"}, "whole number from 1 to 256, got '0' from TASKQ_LAUNCHERS"),
        ([], {"TASKQ_LAUNCHERS": "2.5"}, "whole number"),
        ([], {"TASKQ_LAUNCHERS": "1e99"}, "whole number"),
        (["--launchers=-1"], {}, "got '-1'"),
        (["--launchers=" + "9" * 5000], {}, "999…"),
    ],
)
def test_a_bad_number_is_refused_naming_flag_variable_range_and_source(capsys, argv, env, words):
    """All that it takes to mend it, in one line."""
    said = refusal(capsys, *argv, env=env)
    assert said.startswith("taskq-operator: error: --launchers (TASKQ_LAUNCHERS) must be a ")
    assert words in said
    assert len(said) < 300


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--resync-seconds", "nan"], "a number from 10 to 86400, got 'nan'"),
        (["--resync-seconds", "inf"], "a number from 10 to 86400, got 'inf'"),
        (["--log-format", "xml"], "text or json, got 'xml'"),
        (["--leader-election=perhaps"], "true or false, got 'perhaps'"),
        (["--namespaces", "a,B_c"], "comma-separated, got 'a,B_c'"),
        (["--lease-name", "Not A Name"], "lower-case letters"),
        (["--lease-namespace=-x"], "at most 63 long"),
        (["--identity", "two words"], "visible ASCII"),
        (["--http-address", "8080"], "host:port"),
        (["--http-address", "localhost:65536"], "host:port"),
        (["--http-address", "::1:80"], "host:port"),
        (["--launchers"], "expected one argument"),
        (["--launcher", "3"], "unknown argument '--launcher', did you mean '--launchers'?"),
        (["run"], "unknown argument 'run'"),
        (["--launchers", "a\nb"], r"got 'a\nb'"),
    ],
)
def test_a_bad_flag_is_refused_in_one_line(capsys, argv, words):
    """Whatever is wrong with it, and never with a traceback."""
    assert words in refusal(capsys, *argv)


def test_all_that_is_wrong_is_said_at_once(capsys):
    """Nobody should mend one value after the other, with a start between."""
    said = refusal(capsys, "--launchers=0", env={"TASKQ_LOG_LEVEL": "loud"})
    assert "--launchers" in said
    assert "TASKQ_LOG_LEVEL" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("lanchers: 3", "unknown key 'lanchers', did you mean 'launchers'?"),
        ("1: 3", "unknown key '1'"),
        ("- launchers", "must hold names and values"),
        ("launchers: [", "is not YAML"),
        ("launchers: true", "got 'True' from "),
        ("launchers: {a: 1}", "whole number"),
        ("launchers: [1, 2]", "got '1,2'"),
        ("launchers: !!python/object:os.system {}", "is not YAML"),
        (b"\xff\xfe\xfa", "is not "),
    ],
)
def test_a_bad_file_is_refused_naming_the_file(capsys, tmp_path, content, words):
    """A typing error in a key is an error, and nothing in the file is carried out."""
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = refusal(capsys, "--config", str(path))
    assert words in said
    assert str(path) in said


def test_a_missing_file_is_refused(capsys, tmp_path):
    """Running on defaults, when a file was named, would be a surprise."""
    said = refusal(capsys, env={"TASKQ_CONFIG": str(tmp_path / "absent")})
    assert "--config (TASKQ_CONFIG): cannot read" in said


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (
            ["--lease-duration-seconds=7"],
            "--lease-duration-seconds (TASKQ_LEASE_DURATION_SECONDS) must be at least 8 ",
        ),
        (
            ["--create-timeout-seconds=5"],
            "must be at least 9 (lease_renew_deadline_seconds + create_timeout_seconds + 1), got 8",
        ),
        (
            ["--lease-renew-seconds=3"],
            "--lease-renew-deadline-seconds (TASKQ_LEASE_RENEW_DEADLINE_SECONDS) must be above 3 ",
        ),
        (["--launch-backoff-max-seconds=1"], "must be at least 2 (launch_backoff_base_seconds), got 1"),
        (
            ["--launchers=64"],
            "--api-connections (TASKQ_API_CONNECTIONS) must be at least 76 (launchers + status_writers",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(capsys, argv, words):
    """Above all those that would let two leaders create Jobs at the same time."""
    assert words in refusal(capsys, *argv)


def test_help_tells_every_setting_with_its_group_default_and_variable(capsys):
    """The command line documents itself."""
    with pytest.raises(SystemExit) as exit_:
        Settings.load(["--help"], {})
    said = " ".join(capsys.readouterr().out.split())
    assert exit_.value.code == 0
    assert "Leader election:" in said
    assert "a whole number from 1 to 256; default: 16. [TASKQ_LAUNCHERS]" in said
    for name in Settings.model_fields:
        assert flag_of(name) in said
        assert f"[{variable_of(name)}]" in said


def test_every_setting_says_what_it_means():
    """A knob without its reason is a guess for its user."""
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert len(field.description) > 20, name
        if field.annotation in {int, float}:
            unit_free = {
                "launchers",
                "cluster_max_concurrency",
                "status_writers",
                "api_connections",
                "metrics_max_queues",
                "metrics_max_schedules",
                "list_chunk_size",
            }
            assert name in unit_free or name.endswith(("_seconds", "_bytes", "_per_second")), name


def test_the_reference_page_is_current(tmp_path):
    """Made anew from the model, with the command that the page names, it is what is committed."""
    page = tmp_path / "settings.md"
    subprocess.run([sys.executable, "-m", "taskq.settings", "--docs", str(page)], check=True, cwd=ROOT / "operator")
    assert page.read_text() == (ROOT / "docs/reference/settings.md").read_text()


def test_strange_variables_are_told_but_those_of_services_are_not():
    """The kubelet gives every container variables for a Service called taskq or taskq-metrics."""
    env = {
        "TASKQ_LAUNCHER": "3",
        "TASKQ_LAUNCHERS": "3",
        "TASKQ_CONFIG": "x",
        "TASKQ_SERVICE_HOST": "10.0.0.1",
        "TASKQ_SERVICE_PORT": "8080",
        "TASKQ_SERVICE_PORT_HTTP": "8080",
        "TASKQ_PORT": "tcp://10.0.0.1:8080",
        "TASKQ_METRICS_PORT_8080_TCP_ADDR": "10.0.0.1",
        "PATH": "/bin",
    }
    assert unknown_variables(env) == ["TASKQ_LAUNCHER"]


def test_no_setting_can_be_set_by_a_service():
    """A Service's name must not be able to change a setting."""
    assert not [name for name in Settings.model_fields if module.SERVICE_LINK.search(variable_of(name))]


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        (":8080", (None, 8080)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_an_address_is_host_and_port(address, parts):
    """IPv6 in brackets, as in a URL; no host is every interface."""
    assert split_address(address) == parts


def test_every_setting_is_used():
    """A knob that turns nothing is a promise broken in silence."""
    code = "\n".join(p.read_text() for p in (ROOT / "operator").rglob("*.py") if p.name != "settings.py")
    assert not [name for name in Settings.model_fields if not re.search(rf"settings\.{name}\b", code)]


@pytest.mark.parametrize("address", ["127.0.0.1:8081", "localhost:8081", "[::1]:8081", ""])
def test_the_api_needs_no_certificate_on_this_machine(address: str) -> None:
    """Tokens do not leave it."""
    assert Settings.load(["--api-address", address], {}).api_address == address


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--api-address=:8081"], "--api-address"),
        (["--api-address=10.0.0.1:8081"], "--api-address"),
        (["--api-address=taskq.example:8081"], "--api-address"),
        (["--api-address=127.0.0.1"], "--api-address"),
        (["--api-address=:8081", "--api-tls-cert-file=x"], "--api-tls-key-file"),
        (["--api-address=127.0.0.1:8081", "--api-tls-key-file=x"], "--api-tls-cert-file"),
        (
            ["--api-address=:8081", "--api-tls-cert-file=x", "--api-tls-key-file=x", "--api-anonymous"],
            "--api-anonymous",
        ),
    ],
)
def test_tokens_never_cross_a_network_in_the_clear(
    capsys: pytest.CaptureFixture[str], flags: list[str], named: str
) -> None:
    """The setting that is missing, or wrong, is named."""
    assert named in refusal(capsys, *flags)
