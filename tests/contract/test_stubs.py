"""Stubs for other languages, made of the one file that the guide has people write."""

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "pos-integration.md"
BUF = Path(sys.executable).parent / "buf"
TEMPLATES = re.findall(r"```yaml\n(version: v2.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The file, in a folder where nothing else of ours is."""
    folder = tmp_path_factory.mktemp("vendor")
    command = [sys.executable, "-m", "tools", "contracts", str(folder / "tessera.binpb")]
    subprocess.run(command, check=True, cwd=ROOT)
    assert [one.name for one in folder.iterdir()] == ["tessera.binpb"]
    return folder / "tessera.binpb"


def test_the_file_needs_no_other(written):
    """Each import is in it and stands before whoever imports it; comments are there to be read."""
    files = descriptor_pb2.FileDescriptorSet.FromString(written.read_bytes()).file
    seen: set[str] = set()
    for file in files:
        assert set(file.dependency) <= seen, file.name
        seen.add(file.name)
    ours = [file for file in files if file.package.startswith("tessera.")]
    assert all(file.source_code_info.location for file in ours)
    assert "tessera/promotions/v1/checkout_service.proto" in seen


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    """In a sentence, and with an exit code that a build notices."""
    command = [sys.executable, "-m", "tools", "contracts", str(tmp_path / "none" / "x.binpb")]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_templates_of_the_guide_are_sound(written, tmp_path, template):
    """Run with a plugin that is here in place of those of the languages."""
    rules = yaml.safe_load(template)
    plugin = str(BUF.with_name("protoc-gen-mypy"))
    rules["plugins"] = [
        {"local": plugin, "out": f"{place}/{one['out']}"}
        for place, one in enumerate(rules["plugins"])
    ]
    (tmp_path / "buf.gen.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    command = [str(BUF), "generate", str(written), "--path", "tessera"]
    subprocess.run(command, check=True, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)})
    assert len(list(tmp_path.rglob("checkout_service_pb2.pyi"))) == len(rules["plugins"])


#: A plugin that answers with what it was asked.
ECHO = """#!{python}
import base64, sys
from google.protobuf.compiler import plugin_pb2
asked = base64.b64encode(sys.stdin.buffer.read()).decode()
answer = plugin_pb2.CodeGeneratorResponse(file=[dict(name="asked", content=asked)])
sys.stdout.buffer.write(answer.SerializeToString())
"""


def test_what_is_imported_keeps_its_packages(written, tmp_path):
    """Stubs fit those of Google and of protovalidate that the dependencies of a till bring."""
    echo = tmp_path / "echo"
    echo.write_text(ECHO.format(python=sys.executable), encoding="utf-8")
    echo.chmod(0o755)
    rules = yaml.safe_load(TEMPLATES[0])
    rules["plugins"] = [{"local": str(echo), "out": ".", "strategy": "all"}]
    (tmp_path / "buf.gen.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    command = [str(BUF), "generate", str(written), "--path", "tessera"]
    subprocess.run(command, check=True, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)})
    asked = base64.b64decode((tmp_path / "asked").read_bytes())
    files = plugin_pb2.CodeGeneratorRequest.FromString(asked).proto_file
    options = {file.name: file.options for file in files}
    assert options["google/type/dayofweek.proto"].java_outer_classname == "DayOfWeekProto"
    assert options["buf/validate/validate.proto"].java_package == "build.buf.validate"
    assert (
        options["tessera/promotions/v1/checkout.proto"].java_package == "com.tessera.promotions.v1"
    )


def test_both_families_of_languages_are_shown():
    """Packages by managed mode alone, and Go, which wants to know where its packages lie."""
    assert len(TEMPLATES) == 2
