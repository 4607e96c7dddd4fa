import pytest
from synthetic_results import make_result


@pytest.fixture(scope="session")
def classification():
    return make_result()


@pytest.fixture(scope="session")
def tagging():
    return make_result("tagging", target="mood", labels=tuple(f"tag {i}" for i in range(30)))


@pytest.fixture(scope="session")
def regression():
    return make_result("regression", target="valence", means=(0.2, 0.35, 0.1))


@pytest.fixture(scope="session")
def results(classification, tagging, regression):
    return (classification, tagging, regression)
