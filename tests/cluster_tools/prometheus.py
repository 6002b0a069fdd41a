"""A real Prometheus that scrapes what a test tells it to, often, and answers queries."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from cluster_tools.operator_process import free_port
from cluster_tools.waiting import until
from localcluster import debian

Json = dict[str, Any]


class Prometheus:
    """One process with a folder of its own; as a context manager it is ready when entered, and gone afterwards."""

    def __init__(self, folder: Path, targets: Iterable[str], rules: Iterable[Path] = ()) -> None:
        """``targets`` are host:port of what answers at /metrics, each scraped every second."""
        self._folder = folder
        self._address = f"127.0.0.1:{free_port()}"
        self._log = folder / "prometheus.log"
        self._process: subprocess.Popen[bytes] | None = None
        scrape = {"job_name": "taskq", "honor_labels": True, "static_configs": [{"targets": list(targets)}]}
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [scrape],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    debian.program("prometheus", "prometheus"),
                    f"--config.file={self._folder / 'prometheus.yaml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self._address}",
                    "--enable-feature=exemplar-storage",
                ],
                cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        until(self._is_ready, lambda: f"Prometheus is ready:\n{self._log.read_text(encoding='utf-8')}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=5) as answer:
                return int(answer.status) == 200
        except OSError:
            return False

    def _ask(self, path: str, **query: str | Sequence[str]) -> Any:
        asked = urllib.parse.urlencode(query, doseq=True)
        url = f"http://{self._address}/api/v1/{path}?{asked}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{path} {query}: {error.read().decode()}") from error

    def query(self, expression: str) -> list[Json]:
        """The samples of an expression now; AssertionError when it is none."""
        found: list[Json] = self._ask("query", query=expression)["result"]
        return found

    def values(self, expression: str) -> list[float]:
        """The values of these samples."""
        return [float(sample["value"][1]) for sample in self.query(expression)]

    def label_values(self, label: str, selector: str) -> list[str]:
        """What a label's values are among the series that match."""
        found: list[str] = self._ask(f"label/{label}/values", **{"match[]": selector})
        return found

    def exemplars(self, selector: str) -> list[Json]:
        """The labels of all exemplars of the series that match."""
        series = self._ask("query_exemplars", query=selector, start="0", end="9999999999")
        return [exemplar["labels"] for one in series for exemplar in one["exemplars"]]
