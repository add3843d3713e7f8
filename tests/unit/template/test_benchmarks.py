"""What is measured is what is deployed."""

from bench import cold_start
from tests.support.template import resources


def test_the_cold_start_of_every_function_is_measured() -> None:
    handlers = {function["Handler"].rpartition(".")[0] for function in resources("AWS::Serverless::Function").values()}

    assert set(cold_start.FUNCTIONS) == handlers
