"""What holds for all tests: a test that measures shows its table at the end of the output, whether it passed or not."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as their `table`."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    tables = [str(value) for report in reports if report.when == "call" for name, value in report.user_properties if name == "table"]
    if tables:
        terminalreporter.section("what was measured")
        terminalreporter.write_line("\n\n".join(tables))
