//! Writes small ONNX files, field by field of the protobuf format, so that tests need no other
//! program.
//!
//! **Source** of the field numbers: `onnx.proto3` of the ONNX specification.
#![allow(dead_code, reason = "each test uses some")]

/// Element types as ONNX numbers them.
pub(crate) const F32: i64 = 1;
pub(crate) const I64: i64 = 7;
pub(crate) const BOOL: i64 = 9;

/// A dimension of an input or output.
#[derive(Clone, Copy)]
pub(crate) enum Dim {
    Fixed(i64),
    Open(&'static str),
}

/// A model in the making.
#[derive(Default)]
pub(crate) struct Model {
    graph: Vec<u8>,
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u64, value: i64) {
    varint(out, field << 3);
    varint(out, value as u64);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

impl Model {
    /// A node without attributes.
    pub(crate) fn node(mut self, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let mut node = Vec::new();
        inputs.iter().for_each(|name| bytes(&mut node, 1, name.as_bytes()));
        outputs.iter().for_each(|name| bytes(&mut node, 2, name.as_bytes()));
        bytes(&mut node, 3, format!("{op}_{}", outputs[0]).as_bytes());
        bytes(&mut node, 4, op.as_bytes());
        bytes(&mut self.graph, 1, &node);
        self
    }

    /// A constant of f32.
    pub(crate) fn constant(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let mut tensor = Vec::new();
        dims.iter().for_each(|dim| number(&mut tensor, 1, *dim));
        number(&mut tensor, 2, F32);
        bytes(&mut tensor, 8, name.as_bytes());
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        bytes(&mut tensor, 9, &raw);
        bytes(&mut self.graph, 5, &tensor);
        self
    }

    pub(crate) fn input(self, name: &str, dtype: i64, dims: &[Dim]) -> Self {
        self.port(11, name, dtype, dims)
    }

    pub(crate) fn output(self, name: &str, dtype: i64, dims: &[Dim]) -> Self {
        self.port(12, name, dtype, dims)
    }

    fn port(mut self, field: u64, name: &str, dtype: i64, dims: &[Dim]) -> Self {
        let mut shape = Vec::new();
        for dim in dims {
            let mut encoded = Vec::new();
            match dim {
                Dim::Fixed(extent) => number(&mut encoded, 1, *extent),
                Dim::Open(name) => bytes(&mut encoded, 2, name.as_bytes()),
            }
            bytes(&mut shape, 1, &encoded);
        }
        let (mut tensor, mut of_type, mut port) = (Vec::new(), Vec::new(), Vec::new());
        number(&mut tensor, 1, dtype);
        bytes(&mut tensor, 2, &shape);
        bytes(&mut of_type, 1, &tensor);
        bytes(&mut port, 1, name.as_bytes());
        bytes(&mut port, 2, &of_type);
        bytes(&mut self.graph, field, &port);
        self
    }

    /// The file.
    pub(crate) fn file(self) -> Vec<u8> {
        let (mut opset, mut model) = (Vec::new(), Vec::new());
        bytes(&mut opset, 1, b"");
        number(&mut opset, 2, 17);
        number(&mut model, 1, 8);
        bytes(&mut model, 8, &opset);
        let mut graph = self.graph;
        bytes(&mut graph, 2, b"test");
        bytes(&mut model, 7, &graph);
        model
    }
}

/// `y = relu(x W + b)` over rows of an open number of them, and whether `x` is positive.
pub(crate) fn affine() -> Vec<u8> {
    let weights = [1.0, 0.0, -1.0, 0.0, 2.0, 0.0, 0.5, 0.5, 0.5, 0.0, 0.0, 1.0];
    Model::default()
        .input("x", F32, &[Dim::Open("rows"), Dim::Fixed(4)])
        .constant("w", &[4, 3], &weights)
        .constant("b", &[3], &[0.25, -0.5, 0.0])
        .constant("zero", &[], &[0.0])
        .node("MatMul", &["x", "w"], &["product"])
        .node("Add", &["product", "b"], &["sum"])
        .node("Relu", &["sum"], &["y"])
        .node("Greater", &["x", "zero"], &["positive"])
        .output("y", F32, &[Dim::Open("rows"), Dim::Fixed(3)])
        .output("positive", BOOL, &[Dim::Open("rows"), Dim::Fixed(4)])
        .file()
}

/// What [`affine`] gives for one row.
pub(crate) fn affine_row(x: [f32; 4]) -> [f32; 3] {
    let [a, b, c, d] = x;
    let half = 0.5 * c;
    [a + half + 0.25, 2.0 * b + half - 0.5, -a + half + d].map(|sum| sum.max(0.0))
}

/// A running sum: `total_out = total_in + x`.
pub(crate) fn running_sum() -> Vec<u8> {
    let dims = [Dim::Fixed(1), Dim::Fixed(2)];
    Model::default()
        .input("x", F32, &dims)
        .input("total_in", F32, &dims)
        .node("Add", &["total_in", "x"], &["total_out"])
        .output("total_out", F32, &dims)
        .file()
}

/// `y = reshape(x, shape)`: the shape is an input.
pub(crate) fn reshape() -> Vec<u8> {
    Model::default()
        .input("x", F32, &[Dim::Fixed(2), Dim::Fixed(6)])
        .input("shape", I64, &[Dim::Fixed(2)])
        .node("Reshape", &["x", "shape"], &["y"])
        .output("y", F32, &[Dim::Open("a"), Dim::Open("b")])
        .file()
}

/// A model with an operator that nobody has.
pub(crate) fn unknown_operator() -> Vec<u8> {
    let dims = [Dim::Fixed(2)];
    Model::default()
        .input("x", F32, &dims)
        .node("Frobnicate", &["x"], &["y"])
        .output("y", F32, &dims)
        .file()
}
