import pytest

from tasks.evaluation.findings import describe_choice
from tasks.evaluation.result_files import CandidateMetrics
from tasks.select import choose

BETTER, WORSE = CandidateMetrics(value=0.9, log_loss=0.3), CandidateMetrics(value=0.8, log_loss=0.2)
SURER = CandidateMetrics(value=0.9, log_loss=0.2)


@pytest.mark.parametrize(
    ("network", "linear", "considered", "chosen"),
    [
        (BETTER, WORSE, "best", "network"),
        (WORSE, BETTER, "best", "linear"),
        (BETTER, SURER, "best", "linear"),
        (SURER, BETTER, "best", "network"),
        (BETTER, BETTER, "best", "linear"),
        (WORSE, BETTER, "network", "network"),
    ],
)
def test_the_linear_model_serves_unless_the_network_is_better_or_alone(network, linear, considered, chosen):
    candidates = choose(network, linear, "accuracy", considered)
    assert candidates.chosen == chosen
    said = describe_choice(candidates)
    assert said.startswith(f"The {'linear model' if chosen == 'linear' else 'network'} serves: ")
    assert f"{network.value:.4f} (log loss {network.log_loss:.4f})" in said
    assert ("--promotion.candidates network" in said) == (chosen == "linear")
    assert ("--promotion.candidates best" in said) == (considered == "network")
