"""The auditor's questions, one a file. THE tuple: whatever stands here has a page and exports, and nothing else has."""

from audit.reports.access import Access
from audit.reports.approvals import Approvals
from audit.reports.base import Column, Filters, Report, Row
from audit.reports.checks import Checks
from audit.reports.coverage import Coverage
from audit.reports.decisions import Decisions
from audit.reports.exports import Exports
from audit.reports.integrity import Integrity
from audit.reports.ledger import Ledger
from audit.reports.mapping import Controls
from audit.reports.permissions import Permissions
from audit.reports.served import ServedBetween
from audit.reports.serving import Serving
from audit.reports.tolerated import Tolerated
from audit.reports.waivers import Waivers

__all__ = ["BY_SLUG", "REPORTS", "Column", "Filters", "Report", "Row"]

REPORTS: tuple[Report, ...] = (
    Approvals(),
    Decisions(),
    Checks(),
    Waivers(),
    Tolerated(),
    ServedBetween(),
    Serving(),
    Access(),
    Ledger(),
    Integrity(),
    Exports(),
    Permissions(),
    Coverage(),
    Controls(),
)
BY_SLUG = {report.slug: report for report in REPORTS}
