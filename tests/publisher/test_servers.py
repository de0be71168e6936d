"""A missing server must not pass unnoticed where it matters."""

import pytest
from _pytest.outcomes import Failed, Skipped

from tests.publisher.servers import need


@pytest.mark.parametrize(("ci", "outcome"), [("", Skipped), ("true", Failed)])
def test_missing_server(ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its server a test is skipped on a developer's machine and fails in CI."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no-such-server is not installed"):
        need("no-such-server")
