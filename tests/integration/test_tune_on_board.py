"""`flextune tune --runner ssh:HOST` on this machine as a board of another architecture, which dies in the middle."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flextune.cli.main import app
from flextune.database.store import open_database
from flextune.errors import EnvironmentFault
from flextune.quantities import MEASURED_SECONDS
from flextune.testing.ssh import SshServer, why_no_server
from flextune.trial.measurement import Status

WORKLOAD = "gemm:m=16,n=24,k=8"

# It dies a second after the program has begun, which this side knows by then.
DIES_ONCE = """\
#!/bin/sh
n=$(ls {counts} | wc -l)
: >{counts}/$n
[ "$n" -ne 4 ] || {{ sleep 1; kill -9 "$(cut -d' ' -f4 /proc/$PPID/stat)"; exit 1; }}
exec qemu-aarch64 -cpu cortex-a76 "$@"
"""


@pytest.mark.emulator("arm")
def test_a_run_goes_on_when_its_board_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := why_no_server():
        pytest.skip(missing)
    database = tmp_path / "records.db"
    (tmp_path / "counts").mkdir()
    launch = tmp_path / "launch"
    launch.write_text(DIES_ONCE.format(counts=tmp_path / "counts"))
    launch.chmod(stat.S_IRWXU)
    with SshServer(str(launch)) as server:
        monkeypatch.setenv("FLEXTUNE_SSH", server.client)
        common = ["--runner", server.runner, "--db", str(database), "--json"]
        tuned = CliRunner().invoke(app, ["tune", WORKLOAD, "--target", "arm:rk3588", "--trials", "5", *common])
        assert tuned.exit_code == 0, tuned.output
        with open_database(database) as records:
            found = records.records()
            best = records.best(found[0].workload_key, found[0].target_key)
        again = CliRunner().invoke(app, ["replay", best.key, *common])
        assert again.exit_code == 0, again.output
        server.stop()
        refused = CliRunner().invoke(app, ["tune", WORKLOAD, "--target", "arm:rk3588", "--trials", "9", *common])
    assert isinstance(refused.exception, EnvironmentFault)
    assert "ssh:board does not answer" in str(refused.exception)
    lost = [record for record in found if record.status is not Status.OK]
    assert [record.error.count("was lost while a program ran there") for record in lost] == [1]
    assert len({str(record.assigned) for record in found}) == 5
    assert {record.scale for record in found} == {MEASURED_SECONDS}
    assert {record.protocol.partition("runner=")[2] for record in found} == {server.runner}
    figures = json.loads(tuned.stdout)
    assert 0 < figures["best_secs"] <= figures["default_secs"] < 1
    assert figures["failed"] == 1
