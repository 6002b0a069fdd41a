"""Whose cluster is used, and what is said when something is missing."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from localcluster import network, prerequisites
from localcluster.choice import Kind, choose
from localcluster.errors import ClusterError
from localcluster.files import write_json
from localcluster.settings import ControllerManager, Network, Settings, state_directory


@pytest.fixture
def no_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what a test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(folder: Path, name: str, exit_code: int) -> None:
    (folder / name).write_text(f"#!/bin/sh\nexit {exit_code}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_the_users_own_cluster_comes_first(no_tools: Path) -> None:
    """Whoever says KUBECONFIG or TASKQ_CONTEXT means it."""
    install(no_tools, "kind", 0)
    install(no_tools, "docker", 0)
    assert choose({"KUBECONFIG": "/users/me/.kube/config"}, nodeless=False) is Kind.EXISTING
    assert choose({"TASKQ_CONTEXT": "prod"}, nodeless=False) is Kind.EXISTING


def test_a_kubeconfig_of_ours_is_not_mistaken_for_the_users(no_tools: Path) -> None:
    """`up` tells people to export it; the next `up` must still start and heal our cluster."""
    ours = no_tools / "state" / "kubeconfig"
    write_json(ours.parent / "cluster.json", {})
    assert choose({"KUBECONFIG": str(ours)}, nodeless=False) is Kind.BUILT
    assert choose({"KUBECONFIG": f"{ours}:/users/me/.kube/config"}, nodeless=False) is Kind.EXISTING


def test_a_kubeconfig_that_down_has_deleted_is_still_ours(no_tools: Path) -> None:
    """The shell that ran `make down` still exports it; a missing file anywhere else is the user's typing error."""
    states = {"XDG_STATE_HOME": str(no_tools)}
    assert choose({**states, "KUBECONFIG": f"{no_tools}/taskq/taskq/kubeconfig"}, nodeless=False) is Kind.BUILT
    assert choose({**states, "KUBECONFIG": f"{no_tools}/elsewhere/kubeconfig"}, nodeless=False) is Kind.EXISTING


@pytest.mark.parametrize(
    ("kind", "engine", "chosen"), [(True, 0, Kind.KIND), (True, 1, Kind.BUILT), (False, 0, Kind.BUILT)]
)
def test_kind_needs_an_engine_that_answers(no_tools: Path, kind: bool, engine: int, chosen: Kind) -> None:
    """A client without its engine is no engine."""
    install(no_tools, "docker", engine)
    if kind:
        install(no_tools, "kind", 0)
    assert choose({}, nodeless=False) is chosen


def test_a_cluster_without_a_node_is_always_built(no_tools: Path) -> None:
    """kind has no such thing, and it is ten times slower to start."""
    install(no_tools, "kind", 0)
    install(no_tools, "docker", 0)
    assert choose({}, nodeless=True) is Kind.BUILT


def test_the_choice_can_be_forced(no_tools: Path) -> None:
    """TASKQ_CLUSTER wins over everything; a wrong word names the right ones."""
    assert choose({"KUBECONFIG": "/x", "TASKQ_CLUSTER": "built"}, nodeless=False) is Kind.BUILT
    with pytest.raises(ClusterError, match="existing, kind, built"):
        choose({"TASKQ_CLUSTER": "minikube"}, nodeless=False)


def test_every_missing_package_is_named(no_tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name under which it can be installed."""
    monkeypatch.setattr(prerequisites, "CNI_FOLDERS", (str(no_tools),))
    assert prerequisites.missing_packages() == [
        "containerd", "containernetworking-plugins", "iproute2", "mount", "runc",
    ]  # fmt: skip
    install(no_tools, "runc", 0)
    assert "runc" not in prerequisites.missing_packages()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(ClusterError, match="containernetworking-plugins"):
        prerequisites.ensure_node_tools(lambda _: None)


def test_a_node_without_root_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a node would be worse than none."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match="--no-node"):
        prerequisites.ensure_node_tools(lambda _: None)


def test_the_network_avoids_the_machines_routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a VPN nor another cluster loses its addresses; the default route takes nothing."""
    routes = ["Iface Destination Gateway Flags RefCnt Use Metric Mask", "eth0 00000000 01 3 0 0 0 00000000"]
    (tmp_path / "route").write_text("\n".join([*routes, "vpn 0000C80A 00 1 0 0 0 00C0FFFF"]), encoding="utf-8")
    monkeypatch.setattr(network, "ROUTES", tmp_path / "route")
    chosen = network.choose_network(tmp_path)
    assert chosen.range == "10.201.0.0/16"
    assert len(chosen.bridge) <= 15


def test_the_networks_halves_do_not_meet() -> None:
    """Pods and Services have addresses of their own; the node and the API server stand first in each."""
    chosen = Network(bridge="taskq", range="10.200.0.0/16")
    pods, services = ipaddress.ip_network(chosen.pods), ipaddress.ip_network(chosen.services)
    assert not pods.overlaps(services)
    assert (chosen.node_address, chosen.api_service_address) == ("10.200.0.1", "10.200.128.1")


@pytest.mark.parametrize("manager", [None, ControllerManager(), ControllerManager.stock()])
@pytest.mark.parametrize("chosen", [None, Network(bridge="b", range="10.200.0.0/16")])
def test_settings_survive_the_state_file(manager: ControllerManager | None, chosen: Network | None) -> None:
    """A later call must find the cluster that an earlier one made."""
    settings = Settings(name="n", api_port=1, kubelet_port=2, network=chosen, controller_manager=manager)
    assert Settings.from_json(settings.as_json()) == settings


@pytest.mark.parametrize("name", ["", "..", "../x", "Upper", "-x", "x-", "a" * 41])
def test_names_that_cannot_be_a_node_are_refused(name: str) -> None:
    """Least of all may one lead out of the folder of states."""
    with pytest.raises(ClusterError, match="name"):
        state_directory({}, name)
    assert state_directory({"XDG_STATE_HOME": "/s"}, "a-1") == Path("/s/taskq/a-1")
