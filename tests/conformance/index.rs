//! The exported node suite: its index and its arrays.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nowcast::tensor::DType;
use serde::Deserialize;

use crate::adapter::Array;

/// One case of `index.json`; tests/oracle/export_node_suite.py describes the fields.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) expanded: bool,
    pub(crate) opsets: BTreeMap<String, i64>,
    pub(crate) ops: Vec<String>,
    pub(crate) rtol: f64,
    pub(crate) atol: f64,
    pub(crate) sets: usize,
    pub(crate) inputs: Vec<Value>,
    pub(crate) outputs: Vec<Value>,
    pub(crate) reason: Option<String>,
}

/// One input or output of a case.
#[derive(Debug, Deserialize)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) dtype: Option<String>,
    pub(crate) raw_bits: bool,
    pub(crate) shape: Option<Vec<usize>>,
}

/// The folder that `cargo xtask test` exports the suite to.
pub(crate) fn folder() -> PathBuf {
    folder_of("node")
}

/// A folder of cases that `cargo xtask test` exports.
pub(crate) fn folder_of(name: &str) -> PathBuf {
    let oracle = std::env::var_os("NOWCAST_ORACLE").expect("run through cargo xtask test");
    Path::new(&oracle).join(name)
}

/// Every case, in order of name.
pub(crate) fn read(folder: &Path) -> Vec<Case> {
    let text = fs::read(folder.join("index.json")).expect("run through cargo xtask test");
    serde_json::from_slice(&text).expect("the exporter wrote the index")
}

impl Case {
    /// The arrays of one side of data set `set`; an error if one cannot be handed to nowcast.
    pub(crate) fn arrays(
        &self,
        folder: &Path,
        side: &str,
        set: usize,
    ) -> Result<Vec<Array>, String> {
        let values = if side == "input" { &self.inputs } else { &self.outputs };
        let array = |(i, value): (usize, &Value)| {
            let path = folder.join(&self.name).join(format!("{side}_{set}_{i}.npy"));
            value.read(&path).map_err(|why| format!("{side} `{}`: {why}", value.name))
        };
        values.iter().enumerate().map(array).collect()
    }
}

impl Value {
    fn read(&self, path: &Path) -> Result<Array, String> {
        if self.shape.is_none() {
            return Err(format!("{} value", self.kind));
        }
        let onnx = self.dtype.as_deref().unwrap_or("none");
        let dtype = dtype(onnx).ok_or_else(|| format!("element type {onnx}"))?;
        let (shape, bytes) = read_npy(path)?;
        if bytes.len() != shape.iter().product::<usize>() * dtype.bytes() {
            return Err(format!("{} bytes do not fill {dtype}{shape:?}", bytes.len()));
        }
        Ok(Array { name: self.name.clone(), dtype, shape, bytes, labels: Vec::new() })
    }
}

/// The shape and bytes of an array that was written little endian in C order.
pub(crate) fn read_npy(path: &Path) -> Result<(Vec<usize>, Vec<u8>), String> {
    let file = fs::read(path).map_err(|error| error.to_string())?;
    let mut rest = file.as_slice();
    let header = npyz::NpyHeader::from_reader(&mut rest).map_err(|error| error.to_string())?;
    // One axis or none is written in both orders at once.
    if header.order() != npyz::Order::C && header.shape().len() > 1 {
        return Err("not in C order".into());
    }
    let shape = header.shape().iter().map(|&extent| extent as usize).collect();
    Ok((shape, rest.to_vec()))
}

/// The element type by its ONNX name.
pub(crate) fn dtype(onnx: &str) -> Option<DType> {
    Some(match onnx {
        "float" => DType::F32,
        "double" => DType::F64,
        "int32" => DType::I32,
        "int64" => DType::I64,
        "uint8" => DType::U8,
        "int8" => DType::I8,
        "bool" => DType::Bool,
        "uint16" => DType::U16,
        "int16" => DType::I16,
        "uint32" => DType::U32,
        "uint64" => DType::U64,
        "float16" => DType::F16,
        "bfloat16" => DType::BF16,
        "float8e4m3fn" => DType::F8E4M3FN,
        "float8e4m3fnuz" => DType::F8E4M3FNUZ,
        "float8e5m2" => DType::F8E5M2,
        "float8e5m2fnuz" => DType::F8E5M2FNUZ,
        "float8e8m0" => DType::F8E8M0,
        "float6e2m3" => DType::F6E2M3,
        "float6e3m2" => DType::F6E3M2,
        "float4e2m1" => DType::F4E2M1,
        "int4" => DType::I4,
        "uint4" => DType::U4,
        "int2" => DType::I2,
        "uint2" => DType::U2,
        _ => return None,
    })
}
