"""Writes `.pyi` stubs for the xDS messages: `xds-protos` ships none, so mypy would take each for `Any`.

Usage: `python tools/xds_stubs.py build/stubs`. The descriptors come from the installed modules themselves.
"""

import importlib
import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pool
from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

SOURCES = ("mesh", "fixtures", "tests", "e2e", "benchmarks")
PREFIXES = ("envoy.", "xds.", "udpa.", "cel.", "validate.", "google.rpc.", "google.api.", "opentelemetry.")


def used_modules(root: Path) -> list[str]:
    """Names of the generated modules that the project's sources import."""
    found: set[str] = set()
    for folder in SOURCES:
        for path in (root / folder).rglob("*.py"):
            for line in path.read_text().splitlines():
                words = line.split()
                if line.startswith("from ") and len(words) > 3 and words[2] == "import":
                    names = line.split(" import ", 1)[1].replace("(", "").replace(")", "").split(",")
                    modules = [f"{words[1]}.{name.split()[0]}" for name in names if name.strip()]
                    found.update(m for m in modules if m.endswith("_pb2") and m.startswith(PREFIXES))
                elif line.startswith("import ") and words[1].endswith("_pb2"):
                    found.add(words[1])
    return sorted(found)


def closure(descriptor: FileDescriptor, into: dict[str, FileDescriptor]) -> None:
    """Add a file and all that it imports, in order of dependency."""
    if descriptor.name in into:
        return
    for dependency in descriptor.dependencies:
        closure(dependency, into)
    into[descriptor.name] = descriptor


def main(out: Path) -> None:
    """Write the stubs of every used module and its imports below `out`."""
    files: dict[str, FileDescriptor] = {}
    for module in used_modules(Path(__file__).parent.parent):
        closure(importlib.import_module(module).DESCRIPTOR, files)
    wanted = [n for n in files if not n.startswith("google/protobuf/")]
    request = plugin_pb2.CodeGeneratorRequest(file_to_generate=wanted)
    for descriptor in files.values():
        proto = FileDescriptorProto()
        descriptor.CopyToProto(proto)
        request.proto_file.append(proto)
    plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    answer = subprocess.run([plugin], input=request.SerializeToString(), stdout=subprocess.PIPE, check=True)
    response = plugin_pb2.CodeGeneratorResponse.FromString(answer.stdout)
    if response.error:
        raise SystemExit(f"protoc-gen-mypy: {response.error}")
    for file in response.file:
        path = out / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content)
    print(f"{len(response.file)} stubs in {out}")


if __name__ == "__main__":
    descriptor_pool.Default()
    main(Path(sys.argv[1]))
