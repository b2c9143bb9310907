"""Writes src/onnx/functions.onnx: the function bodies by which ONNX defines its own operators.

The file is a ModelProto that holds nothing but functions, one for each version of each operator
that has a body that depends on nothing but attributes. `overload` is the first version of the
operator set that the body holds for; a function without nodes says that this version of the
operator has no such body. Defaults of attributes come from the operator's schema.

Run it with the onnx package whose operators are supported:

    python tests/oracle/export_functions.py src/onnx/functions.onnx
"""

import sys
from collections import defaultdict
from pathlib import Path

import onnx
from onnx import defs


def without_texts(function):
    """Drops what only a reader of the body would miss."""
    function.ClearField("doc_string")
    for node in function.node:
        node.ClearField("doc_string")
        node.ClearField("name")
        for attribute in node.attribute:
            attribute.ClearField("doc_string")


def with_schema(function, schema, version):
    """Identity, interface and defaults as the schema declares them."""
    function.domain, function.name, function.overload = schema.domain, schema.name, str(version)
    names = sorted(schema.attributes)
    defaults = [schema.attributes[name].default_value for name in names]
    del function.attribute[:]
    del function.attribute_proto[:]
    function.attribute.extend(n for n, d in zip(names, defaults) if not d.type)
    function.attribute_proto.extend(d for d in defaults if d.type)
    return function


def bodies(schema):
    """The bodies of one version of an operator, each with the version it holds from."""
    versions = sorted(schema.function_opset_versions) if schema.has_function else []
    for i, version in enumerate(versions):
        function = onnx.FunctionProto()
        function.CopyFrom(onnx.FunctionProto.FromString(schema.get_function_with_opset_version(version)))
        without_texts(function)
        # A body written later than its operator holds for the operator's first version too.
        yield with_schema(function, schema, schema.since_version if i == 0 else version)
    if not versions:
        yield with_schema(onnx.FunctionProto(), schema, schema.since_version)


def main(path):
    by_operator = defaultdict(list)
    for schema in defs.get_all_schemas_with_history():
        by_operator[schema.domain, schema.name].append(schema)
    model = onnx.ModelProto(ir_version=10, producer_name=f"onnx {onnx.__version__}")
    for _, schemas in sorted(by_operator.items()):
        if any(schema.has_function for schema in schemas):
            for schema in sorted(schemas, key=lambda s: s.since_version):
                model.functions.extend(bodies(schema))
    Path(path).write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main(sys.argv[1])
