"""/openapi.json and /asyncapi.json: valid by the standards' own validators, and true."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

HERE = Path(__file__).parent
PACKAGES = os.environ.get("SARANG_NODE_MODULES", HERE.parent.parent / "target/tests-node/node_modules")
SCHEMATHESIS = [sys.executable, "-m", "schemathesis.cli"]
# Requests by chance for each operation, beside those at the limits of all parameters.
EXAMPLES = 40
# Of a back end.
KEY = "a-key-of-this-test:0123456789abcdef"


def faults_of_asyncapi(document):
    command = ["node", HERE / "asyncapi.cjs"]
    environment = {**os.environ, "NODE_PATH": str(PACKAGES)}
    run = subprocess.run(command, input=json.dumps(document), env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)["found"]
    # 0 and 1 are errors and warnings; below are hints, such as that there is a later version of the standard.
    return [one for one in found if one["severity"] < 2]


@pytest.fixture
def openapi(server):
    return server.rest.get("/openapi.json").json()


@pytest.fixture
def asyncapi(server):
    return server.rest.get("/asyncapi.json").json()


def test_openapi_json_is_openapi_3_1(openapi):
    assert openapi["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(openapi).validate()
    # A validator that takes anything would be of no use.
    del openapi["paths"]["/rooms/{name}"]["parameters"]
    with pytest.raises(OpenAPIValidationError):
        OpenAPIV31SpecValidator(openapi).validate()


def test_asyncapi_json_is_asyncapi_3_0(asyncapi):
    assert asyncapi["asyncapi"] == "3.0.0"
    assert faults_of_asyncapi(asyncapi) == []
    del asyncapi["channels"]["chat"]["messages"]["ack"]
    assert faults_of_asyncapi(asyncapi)


def test_the_two_describe_the_same_version_and_errors(openapi, asyncapi):
    assert openapi["info"]["version"] == asyncapi["info"]["version"]
    assert openapi["components"]["schemas"]["ErrorCode"]["enum"] == asyncapi["components"]["schemas"]["ErrorCode"]["enum"]


@pytest.mark.parametrize(("who", "has_accounts"), [("administrator", False), ("key", False), ("nobody", False), ("nobody", True)])
def test_the_server_does_what_openapi_json_says_and_refuses_everything_else(start, tmp_path, who, has_accounts):
    """With all checks of schemathesis, which sends the same requests each time; schemathesis.toml says what it must know."""
    keys = tmp_path / "keys"
    keys.write_text(f"shop:{KEY}\n")
    options = ["--api-key-file", keys]
    if has_accounts:
        command = [os.environ["SARANG_BIN"], "user", "add", "kim", "--users", tmp_path / "people"]
        subprocess.run(command, input="secret of kim\n", text=True, check=True, capture_output=True, timeout=30)
        options += ["--users", tmp_path / "people"]
    server = start(*options)
    description = tmp_path / "openapi.json"
    description.write_text(server.rest.get("/openapi.json").text)
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tries", "PYTHONPATH": str(HERE), "TRIED_AS": who, "TRIED_KEY": KEY, "TRIED_URL": server.url}
    command = [*SCHEMATHESIS, "--config-file", HERE / "schemathesis.toml", "run", description, "--url", server.url, "--no-color"]
    # Without accounts there is more to do: the others are mostly refused at once.
    command += ["--max-examples", str(EXAMPLES // 5 if has_accounts else EXAMPLES)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "No issues found" in run.stdout
    assert server.process.poll() is None
