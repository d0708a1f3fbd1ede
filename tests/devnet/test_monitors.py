"""Every process of a devnet that trains tells how it is."""

import re

from cli.devnet.layout import PORTS
from cli.participant_settings import FIRST_MONITOR_PORT
from tests.operation.test_deploy import METRIC, ROOT, list_metrics_asked_for
from tests.support.devnet import Devnet
from tests.support.monitors import Samples, ask_monitor, scrape

NODE_PORT = PORTS["monitor"]


def get_port(devnet: Devnet, name: str) -> int:
    if name == "node":
        return NODE_PORT + devnet.port_offset
    return FIRST_MONITOR_PORT + devnet.port_offset + devnet.get_member(name).uid


def test_all_are_ready(devnet: Devnet) -> None:
    for name in ("node", "miner-0", "validator-0"):
        port = get_port(devnet, name)
        devnet.wait(
            lambda port=port: ask_monitor(port, "/readyz") == (200, "ok\n"), 30, f"{name} is ready"
        )
        assert ask_monitor(port, "/healthz") == (200, "ok\n")


def test_run_as_the_node_sees_it(devnet: Devnet) -> None:
    devnet.wait_judged(2)
    port = get_port(devnet, "node")

    def scrape_whole_round() -> Samples | None:
        """What it tells after a round in which nobody was late."""
        found = scrape(port)
        work = [found[f"descent_run_{name}"]["1",] for name in ("accepted_payloads", "judgements")]
        return found if work == [3, 2] else None

    found: Samples = devnet.wait(scrape_whole_round, 60, "a round with everybody's work")
    assert found["descent_run_round"]["1",] >= 2
    assert sum(found["descent_run_phase"].values()) == 1
    assert found["descent_run_state_attestations"]["1",] >= 1
    assert 0 < found["descent_run_heldout_loss_nats"]["1",] < 8


def test_miner(devnet: Devnet) -> None:
    devnet.wait_judged(2)
    port = get_port(devnet, "miner-0")

    def scrape_score() -> Samples | None:
        """What it tells after a round in which it was paid."""
        found = scrape(port)
        is_paid = found["descent_participant_rounds_unpaid"][()] == 0
        return found if is_paid and found["descent_participant_incentive"][()] > 0 else None

    found: Samples = devnet.wait(scrape_score, 60, "a score is told")
    assert found["descent_miner_loss_nats"]["last",] > 0
    assert found["descent_participant_stage_seconds_count"]["train",] >= 2
    assert found["descent_participant_balance_udsc"][()] > 0
    assert found["descent_blobs_served_total"][()] > 0
    assert found["descent_participant_events_total"]["committed", "info"] >= 2


def test_validator(devnet: Devnet) -> None:
    devnet.wait_judged(2)
    port = get_port(devnet, "validator-0")
    before = scrape(port)["descent_validator_audits_total"]

    def scrape_next_audit() -> Samples | None:
        found = scrape(port)
        is_more = found["descent_validator_audits_total"]["matches",] > before["matches",]
        return found if is_more else None

    found: Samples = devnet.wait(scrape_next_audit, 60, "another audit")
    stages = found["descent_participant_stage_seconds_count"]
    assert {("collect",), ("settle",), ("judge",), ("reveal",)} <= set(stages)
    assert found["descent_validator_verdicts_total"]["ok",] >= 3
    # A miner that a test killed while it was audited did not serve its work.
    assert found["descent_validator_audits_total"]["differs",] == before["differs",]


def test_every_metric_of_alerts_dashboard_and_manual_exists(devnet: Devnet) -> None:
    devnet.wait_judged(2)
    names: set[str] = {"process_resident_memory_bytes"}
    for name in ("node", "miner-0", "validator-0"):
        names |= set(scrape(get_port(devnet, name)))
    assert list_metrics_asked_for() - names == set()
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}
    manual = set(METRIC.findall((ROOT / "docs" / "metrics.md").read_text()))
    assert {name for name in manual if name != "process_"} - families == set()
    assert {name for name in families if name.startswith("descent_")} - manual == set()
