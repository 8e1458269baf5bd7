"""Trials of objectives as tuning records, in the same databases as those of tensor programs."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.parameter_space import ParameterSpace, parameters_json
from flextune.database.exchange import configuration
from flextune.measure.objective import Objective
from flextune.measure.objective_protocol import ObjectiveProtocol
from flextune.trial.measurement import Measurement
from flextune.trial.record import OBJECTIVE, Evidence, Provenance, TuningRecord
from flextune.tuning.goals import Goals

_FAILURES = 2


class ObjectiveRecords:
    """Writes and reads the records of one objective on this machine.

    They belong to what is measured (`Objective.identity`) and to the machine; parameters may gain and lose values and
    constraints may change, and what was measured before still counts. A verdict counts where it would be the same now:
    with no fewer repeats, and within the limits of now. A failure may pass: it counts once it has come twice.
    """

    def __init__(self, objective: Objective, space: ParameterSpace, provenance: Provenance, goals: Goals) -> None:
        self._objective = objective
        self._identity = objective.identity + (f"\ngoals:{goals}" if str(goals) else "")
        self._space = space
        self._provenance = provenance
        self._trace = parameters_json(space.parameters)
        self.workload = OBJECTIVE + objective.name
        self.workload_key = hashlib.sha256(f"{self.workload}\n{self._identity}".encode()).hexdigest()[:16]
        self.target_key = provenance.host

    def record(
        self, measurement: Measurement, protocol: ObjectiveProtocol, evidence: Evidence = Evidence.TRIAL
    ) -> TuningRecord:
        """A measurement as it is kept: auxiliary variables left out."""
        names, about = self._space.parameters.variable_names, self._provenance
        return TuningRecord(
            workload=self.workload,
            body=self._identity,
            constants=(),
            workload_key=self.workload_key,
            target=f"host:{self.target_key}",
            target_key=self.target_key,
            trace=self._trace,
            assignment=str(Assignment({name: measurement.assignment[name] for name in names})),
            status=measurement.status,
            run_secs=measurement.run_secs,
            error=measurement.error,
            build_secs=measurement.build_secs,
            elapsed_secs=measurement.elapsed_secs,
            max_error=measurement.max_error,
            protocol=str(protocol),
            versions=about.versions,
            seed=about.seed,
            strategy=about.strategy,
            strategy_options=about.strategy_options,
            cost_model=about.cost_model,
            cost_model_options=about.cost_model_options,
            pretrained=about.pretrained,
            host=about.host,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            evidence=evidence,
            metrics=measurement.metrics,
        )

    def recalled(self, records: Iterable[TuningRecord]) -> list[Measurement]:
        """What records say about members of this space, the latest verdict on each, in the order of the first."""
        found: dict[Assignment, Measurement] = {}
        failures: Counter[Assignment] = Counter()
        for record, member in self._members(records):
            if member is None or not self._holds(record, measurement := record.measurement_of(member)):
                continue
            found[member] = measurement
            failures[member] = 0 if measurement.ok else failures[member] + 1
        return [measurement for member, measurement in found.items() if not 0 < failures[member] < _FAILURES]

    def _members(self, records: Iterable[TuningRecord]) -> Iterator[tuple[TuningRecord, Assignment | None]]:
        """Each with the member of this space that has its values, if there is one."""
        for trace, group in groupby(records, key=lambda record: record.trace):
            listed = list(group)
            if trace == self._trace:  # of the same parameters: their codes mean the same
                given = Assignments.of([record.assigned for record in listed], self._space.parameters.variable_names)
                yield from zip(listed, self._space.members_of(given), strict=True)
            else:
                yield from zip(listed, self._space.members(map(configuration, listed)), strict=True)

    def _holds(self, record: TuningRecord, measurement: Measurement) -> bool:
        try:
            made = _protocol(record.protocol)
        except ValueError:  # of a version that says it otherwise
            return False
        return self._objective.protocol.accepts(measurement, made)


@lru_cache(maxsize=64)
def _protocol(text: str) -> ObjectiveProtocol:
    return ObjectiveProtocol.parse(text)
