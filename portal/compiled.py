"""Queries that are asked very often: compiled once by Django, then run again and again with other parameters.

Building a large query out of query sets costs several times what the database takes to answer it. Nothing about what
is asked lives here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db import connection, models
from django.db.models.query import get_related_populators

Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)


@dataclass(frozen=True)
class Slot:
    """The place of a parameter in a compiled query, by the parameter's name."""

    name: str


class Compiled(Generic[Row_co]):
    """A query set with named parameters, compiled at its first use.

    `build` makes the query set out of the parameters. It is called twice, with two samples of each parameter, to find
    where they end up; it must not compute with them, and they must not change what SQL it makes.
    """

    def __init__(self, build: Callable[..., models.QuerySet[Row_co]], **samples: tuple[Any, Any]) -> None:
        self._build = build
        self._samples = samples

    @cached_property
    def _plan(self) -> tuple[str, list[Any], Any]:
        """Return the SQL, its parameters with slots in them, and Django's compiler that can read the answers.

        Raises AssertionError where a parameter changes the SQL, or ends up as anything but itself.
        """
        first, second = ({name: sample[which] for name, sample in self._samples.items()} for which in (0, 1))
        compiler = self._build(**first).query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        other_sql, other_params = self._build(**second).query.get_compiler(connection=connection).as_sql()
        if sql != other_sql or len(params) != len(other_params):
            raise AssertionError("A parameter changes the SQL, so the query cannot be compiled once for all of them.")
        return sql, [self._slotted(*pair) for pair in zip(params, other_params, strict=True)], compiler

    def _slotted(self, first: Any, second: Any) -> Any:
        """Return a parameter with a slot wherever the two samples of one name stand."""
        if isinstance(first, list | tuple) and (first, second) not in self._samples.values():
            return [self._slotted(*pair) for pair in zip(first, second, strict=True)]
        for name, sample in self._samples.items():
            if (first, second) == sample:
                return Slot(name)
        # Wrappers such as those of JSON have no equality of their own.
        if first != second and (type(first), repr(first)) != (type(second), repr(second)):
            raise AssertionError(f"The parameter {first!r} is neither constant nor one of {', '.join(self._samples)}.")
        return first

    def rows(self, **values: Any) -> list[Row_co]:
        """Return the rows for these parameters, in one round trip."""
        sql, slotted, known = self._plan
        compiler = copy.copy(known)
        compiler.connection = connection
        with connection.cursor() as cursor:
            cursor.execute(sql, [fill(each, values) for each in slotted])
            answers = compiler.results_iter([cursor.fetchall()])
            return [self._row(compiler, answer) for answer in answers]

    def _row(self, compiler: Any, answer: Any) -> Row_co:
        """Return one row as an instance with its related ones and its annotations, as Django's ModelIterable does."""
        places = compiler.klass_info["select_fields"]
        columns = slice(places[0], places[-1] + 1)
        names = [column[0].target.attname for column in compiler.select[columns]]
        row: Row_co = compiler.klass_info["model"].from_db(connection.alias, names, answer[columns])
        for populator in get_related_populators(compiler.klass_info, compiler.select, connection.alias):  # type: ignore[call-arg]
            populator.populate(answer, row)
        for name, place in compiler.annotation_col_map.items():
            setattr(row, name, answer[place])
        return row


def fill(slotted: Any, values: Mapping[str, Any]) -> Any:
    """Return a parameter with the values in its slots."""
    if isinstance(slotted, Slot):
        return values[slotted.name]
    return [fill(each, values) for each in slotted] if isinstance(slotted, list) else slotted
