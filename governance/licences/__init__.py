"""What licences allow: the table of licences and uses, expressions over licences, and uses read out of people's texts.

Pure: no database. The table is data (`licences.json`, versioned); what SPDX knows comes from license-expression.
Which licences a version has, and what the policy makes of them, is the check's matter.
"""

from governance.licences.expressions import Problem, Question, Rank, Want, Weighed, weigh, weigh_all
from governance.licences.reading import read_table, release
from governance.licences.table import Denied, Licence, LicenceClass, Table, Use, deny, is_deniable
from governance.licences.uses import Reading, read_allowed, read_prohibited

__all__ = [
    "Denied",
    "Licence",
    "LicenceClass",
    "Problem",
    "Question",
    "Rank",
    "Reading",
    "Table",
    "Use",
    "Want",
    "Weighed",
    "deny",
    "is_deniable",
    "read_allowed",
    "read_prohibited",
    "read_table",
    "release",
    "weigh",
    "weigh_all",
]
