"""Checkov on both templates as they are carried out in an account, with everything that can be chosen: `make check`.

    python -m tests.contract.checkov

Fails for whatever Checkov finds that is not argued below, and for whatever is argued and is not found any more.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.support.production import WITH_DOMAINS, production
from tests.support.template import STORES

_CHECKOV = Path(__file__).parents[2] / ".local" / "venv" / "checkov" / "bin" / "checkov"


class Argued(NamedTuple):
    """A check that resources fail, by a pattern of their types and names, and why they may."""

    check: str
    resources: str
    why: str


class Finding(NamedTuple):
    """A check that a resource fails."""

    check: str
    resource: str
    name: str


ARGUED = (
    Argued(
        "CKV_AWS_18",
        r"AWS::S3::Bucket\.FilesLogBucket",
        "It is where the log of the other bucket goes; a log of who wrote the log would need another bucket.",
    ),
    Argued(
        "CKV_AWS_21",
        r"AWS::S3::Bucket\..*",
        "No versions, on purpose: what somebody deletes or recalls is to be gone.",
    ),
    Argued(
        "CKV_AWS_27",
        r"AWS::SQS::Queue\..*",
        "Checkov knows keys of KMS alone. All are encrypted by SQS (tests/unit/template/test_production.py).",
    ),
    Argued(
        "CKV_AWS_26",
        r"AWS::SNS::Topic\.AlarmsTopic",
        "AWS's own key does not let CloudWatch publish, and an alarm holds nobody's words.",
    ),
    *(
        Argued(
            check,
            r"AWS::IAM::ManagedPolicy\.FunctionBoundary",
            "A boundary allows nothing: it bounds what the roles' own policies may, here where they write logs.",
        )
        for check in ("CKV_AWS_107", "CKV_AWS_108", "CKV_AWS_109", "CKV_AWS_110", "CKV_AWS_111")
    ),
    Argued(
        "CKV_AWS_115",
        r"AWS::Lambda::Function\..*",
        "What queues feed is bounded by MaximumConcurrency, what clients call by the throttles of the two APIs. "
        "Reserving concurrency takes it from all other functions of the account.",
    ),
    Argued(
        "CKV_AWS_116",
        r"AWS::Lambda::Function\..*",
        "A function's dead letters are those of asynchronous calls. Queues have their own, clients are answered, and "
        "what the clock calls is called again.",
    ),
    Argued(
        "CKV_AWS_117",
        r"AWS::Lambda::Function\..*",
        "In a VPC is what the stores are reached through; where they are given by address, that is not known.",
    ),
    Argued(
        "CKV_AWS_118",
        r"AWS::RDS::DBInstance\..*",
        "The operating system of a serverless instance is AWS's to look at; ACU, connections and latency are measured.",
    ),
    Argued(
        "CKV_AWS_120",
        r"AWS::ApiGateway::Stage\..*",
        "Every answer is for one person and as of now; a cache would show what was recalled.",
    ),
    Argued(
        "CKV_AWS_149",
        r"AWS::SecretsManager::Secret\..*",
        "Encrypted by the account's key for Secrets Manager. Another key keeps nobody out who may read the secret.",
    ),
    Argued(
        "CKV_AWS_158",
        r"AWS::Logs::LogGroup\..*",
        "Logs are encrypted by CloudWatch's own key, and hold no token, no phone and nothing that was said.",
    ),
    Argued(
        "CKV_AWS_173",
        r"AWS::Lambda::Function\..*",
        "No variable holds a secret (tests/unit/template/test_production.py); they are encrypted by Lambda's own key.",
    ),
    Argued(
        "CKV_AWS_317",
        r"AWS::OpenSearchService::Domain\..*",
        "Only functions may ask, each with its own role, and an audit log would hold what people searched for.",
    ),
)


def main() -> int:
    """Print what is wrong, and return 0 if nothing is."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(production(**WITH_DOMAINS), file)
        file.flush()
        found = findings(Path(file.name)) + findings(STORES)
    unargued = [each for each in found if not any(_covers(argued, each) for argued in ARGUED)]
    stale = [argued for argued in ARGUED if not any(_covers(argued, each) for each in found)]
    for each in unargued:
        print(f"{each.check} {each.resource}: {each.name}")  # noqa: T201  # a command line
    for argued in stale:
        print(f"{argued.check} {argued.resources}: argued, and not found any more")  # noqa: T201
    print(f"checkov: {len(found)} findings, {len(unargued)} not argued, {len(stale)} arguments for nothing")  # noqa: T201
    return 1 if unargued or stale else 0


def findings(template: Path) -> list[Finding]:
    """Return what Checkov finds in a template, without asking anybody."""
    command = [str(_CHECKOV), "--file", str(template), "--framework", "cloudformation", "--output", "json"]
    command += ["--quiet", "--compact", "--skip-download", "--soft-fail"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own
    if done.returncode != 0:
        sys.exit(f"Checkov failed: {done.stderr.strip()}")
    report = json.loads(done.stdout)
    if report["summary"]["parsing_errors"] or not report["summary"]["passed"]:
        sys.exit(f"Checkov did not read the template: {report['summary']}")
    failed = report["results"]["failed_checks"]
    return [Finding(each["check_id"], each["resource"], each["check_name"]) for each in failed]


def _covers(argued: Argued, finding: Finding) -> bool:
    return argued.check == finding.check and re.fullmatch(argued.resources, finding.resource) is not None


if __name__ == "__main__":
    sys.exit(main())
