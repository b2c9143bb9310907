//! Small things to start from: a model, a forecaster.

use nowcast::onnx::proto::{
    AttributeProto, AttributeType, DimensionProto, DimensionValue, GraphProto, ModelProto,
    NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue,
    ValueInfoProto,
};
use std::sync::LazyLock;

use nowcast::bundle::Writer;
use nowcast::forecast::Forecaster;
use nowcast::load::{Options, from_bytes};
use prost::Message;

/// A forecaster of three steps from four observations and two features of the time.
pub const FORECASTER_JSON: &str = r#"{"format": 1, "name": "small", "model": "model.onnx",
"covariance": "covariance.npy", "context": 4, "horizon": 3, "step_seconds": 3600, "unit": "K",
"scale": {"center": "last", "spread": 10.0}, "inputs": [{"name": "context", "kind": "context"},
{"name": "time", "kind": "calendar", "features": ["hour_sin", "hour_cos"]}], "output": "mean"}"#;

fn port(name: &str, axes: &[Result<i64, &str>]) -> ValueInfoProto {
    let dim = |axis: &Result<i64, &str>| DimensionProto {
        value: Some(match axis {
            Ok(n) => DimensionValue::Value(*n),
            Err(name) => DimensionValue::Param((*name).into()),
        }),
    };
    let shape = TensorShapeProto { dim: axes.iter().map(dim).collect() };
    let kind = TensorType { elem_type: 1, shape: Some(shape) };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value: Some(TypeValue::Tensor(kind)) }),
    }
}

fn constant(name: &str, dims: &[i64]) -> TensorProto {
    let len: i64 = dims.iter().product();
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        float_data: (0..len).map(|i| i as f32 / 8.0 - 0.5).collect(),
        ..TensorProto::default()
    }
}

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: operator.into(),
        input: inputs.iter().map(|name| (*name).into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

fn encoded(graph: GraphProto) -> Vec<u8> {
    let version = OperatorSetIdProto { domain: String::new(), version: 17 };
    let model = ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![version],
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

/// The forecaster's model: two products and their sum.
pub fn forecaster_model() -> Vec<u8> {
    encoded(GraphProto {
        node: vec![
            node("MatMul", &["context", "w"], "a"),
            node("MatMul", &["time", "v"], "b"),
            node("Add", &["a", "b"], "mean"),
        ],
        initializer: vec![constant("w", &[4, 3]), constant("v", &[2, 3])],
        input: vec![port("context", &[Ok(1), Ok(4)]), port("time", &[Ok(1), Ok(2)])],
        output: vec![port("mean", &[Ok(1), Ok(3)])],
        ..GraphProto::default()
    })
}

/// A model with an open batch `n`, and a cache that grows over `p` or keeps its length, as the
/// caller chooses.
pub fn cache_model() -> Vec<u8> {
    let mut concat = node("Concat", &["past", "x"], "present");
    concat.attribute = vec![AttributeProto {
        name: "axis".into(),
        r#type: AttributeType::Int as i32,
        i: 1,
        ..AttributeProto::default()
    }];
    encoded(GraphProto {
        node: vec![
            concat,
            node("MatMul", &["y", "w"], "product"),
            node("Tanh", &["product"], "z"),
            node("ReduceSum", &["present"], "sum"),
        ],
        initializer: vec![constant("w", &[4, 3])],
        input: vec![
            port("past", &[Ok(2), Err("p")]),
            port("x", &[Ok(2), Ok(1)]),
            port("y", &[Err("n"), Ok(4)]),
        ],
        output: vec![
            port("present", &[Ok(2), Err("q")]),
            port("z", &[Err("n"), Ok(3)]),
            port("sum", &[Ok(1), Ok(1)]),
        ],
        ..GraphProto::default()
    })
}

/// A bundle of the forecaster, `one`, and of the model with a cache, `cache`.
pub static BUNDLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let covariance = covariance_npy();
    let forecaster = Forecaster::from_parts(FORECASTER_JSON, &forecaster_model(), &covariance);
    let options = Options::new().dim_range("n", 1, 6).dim_range("p", 0, 8);
    let program = from_bytes(&cache_model(), &options.bind_state("present", "past"));
    let mut writer = Writer::new();
    forecaster.expect("a forecaster").write(&mut writer.model("one").expect("a name"));
    writer.model("cache").expect("a name").program(&program.expect("a program"));
    writer.finish().expect("models")
});

/// The NPY file of a covariance of three dimensions.
pub fn covariance_npy() -> Vec<u8> {
    let mut header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 3), }".to_owned();
    header.extend(std::iter::repeat_n(' ', 128 - 10 - 1 - header.len()));
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    let covariance = [4.0f64, 1.0, 0.5, 1.0, 3.0, 0.25, 0.5, 0.25, 2.0];
    file.extend(covariance.iter().flat_map(|x| x.to_le_bytes()));
    file
}
