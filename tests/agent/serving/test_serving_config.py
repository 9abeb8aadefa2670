"""`[serving]` of agent.toml: what an operator writes is what workers get, and what is wrong has a name."""

from __future__ import annotations

import pytest

from limosa_agent.capabilities import read_capabilities
from limosa_agent.config import AgentConfig
from limosa_agent.errors import ConfigInvalid
from limosa_agent.fetch.variant_choice import Capabilities, unmet
from limosa_agent.serving.config import ServingConfig
from limosa_agent.serving.runtime_options import RuntimeOptions
from limosa_contracts.oci import Requirements

SERVER = 'server = "https://fleet.example"\n'


def parse(table: str) -> ServingConfig:
    return AgentConfig.parse(f"{SERVER}[serving]\n{table}").serving


def test_what_is_written_reaches_the_worker_as_it_was() -> None:
    written = parse(
        'providers = ["CUDAExecutionProvider"]\nintra_op_threads = 2\narena = false\ngraph_cache = false\n'
    )
    options = written.options
    assert options == RuntimeOptions(
        providers=("CUDAExecutionProvider",), intra_op_threads=2, arena=False, graph_cache=False
    )
    assert RuntimeOptions.parse(options.as_json()) == options
    there = ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert options.usable(there) == there
    assert options.usable(("CPUExecutionProvider",)) == ("CPUExecutionProvider",)


def test_without_a_table_optimised_graphs_are_kept_and_the_processor_runs_all() -> None:
    config = AgentConfig.parse(SERVER).serving
    assert (config.providers, config.graph_cache) == (("CPUExecutionProvider",), True)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("provider = []", "providers"),  # the nearest key that exists
        ("intra_op_threads = 0", "intra_op_threads"),
        ("threads = -1", "threads"),
        ("shadow_memory_bytes = 1", "shadow_memory_bytes"),
        ('graph_cache = "yes"', "graph_cache"),
        ("providers = [1]", "providers"),
    ],
)
def test_what_is_wrong_is_named(table: str, says: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        parse(table)
    assert says in f"{refused.value} {refused.value.hint}"


def test_accelerators_of_the_configuration_decide_which_variant_fits() -> None:
    """Agent 2.1: the device says what it has; a variant that needs more is not taken."""
    needs = Requirements(accelerators=("npu",))
    for table, fits in (('accelerators = ["npu", "edgetpu"]', True), ("", False)):
        said = read_capabilities(profile="", accelerators=parse(table).accelerators)
        device = Capabilities.parse(said, disk_free_bytes=0)
        assert ("accelerators npu are missing" not in list(unmet(needs, device))) is fits
