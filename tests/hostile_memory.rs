//! A file cannot make us take memory or time out of proportion: bytes are counted by the
//! allocator, over files made to take more than they are.
//!
//! The promise: loading takes at most 256 times the file and the data beside it, 256 MiB in any
//! case, and five times the constants of the program; all of it at most `Options::max_memory`.
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]
#![expect(clippy::disallowed_types, reason = "one file at a time is measured")]

#[path = "../src/onnx/fixture.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the unit tests")]
mod fixture;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use fixture::*;
use nowcast::load::{Options, from_bytes};
use nowcast::onnx::proto;
use prost::Message;
use proto::{
    FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    TensorProto,
};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static LIVE: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

fn add(bytes: usize) {
    let live = LIVE.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every method is `System`'s, which keeps the contract; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
}

/// Bytes taken while `body` runs, at most at once.
fn peak<T>(body: impl FnOnce() -> T) -> (T, u64) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = body();
    (result, PEAK.load(Ordering::Relaxed) - before)
}

const PER_BYTE: u64 = 256;
const FREE: u64 = 256 << 20;
const LIMIT: u64 = 64 << 20;

/// Whoever measures; what else is alive stays as it is meanwhile.
static MEASURING: Mutex<()> = Mutex::new(());

/// One test at a time: files are made with memory, too.
fn alone() -> MutexGuard<'static, ()> {
    MEASURING.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Loads a file with the default limit and with a low one; what the first gave.
fn load(name: &str, bytes: &[u8]) -> Result<(), String> {
    let started = Instant::now();
    let (loaded, taken) = peak(|| from_bytes(bytes, &Options::new()));
    let constants = loaded.as_ref().map_or(0, |p| p.memory().constant_bytes as u64);
    let allowed = PER_BYTE * bytes.len() as u64 + FREE + 5 * constants;
    let outcome = loaded.map(drop).map_err(|error| error.to_string());
    println!("{name}: {} bytes, {taken} taken, {:?}, {outcome:?}", bytes.len(), started.elapsed());
    assert!(taken <= allowed, "{name}: {taken} bytes taken, {allowed} allowed");
    let (_, taken) = peak(|| from_bytes(bytes, &Options::new().max_memory(LIMIT)).map(drop));
    // The packed form of a single weight, up to sixteen times it, is counted when it is there.
    assert!(
        taken <= LIMIT + LIMIT / 4 + 32 * bytes.len() as u64,
        "{name}: {taken} bytes taken, {LIMIT} allowed"
    );
    let spent = started.elapsed();
    assert!(spent < Duration::from_secs(60), "{name} took {spent:?}");
    outcome
}

fn through(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> ModelProto {
    let (x, y) = (port("x", F32, &["2", "3"]), port("y", F32, &[]));
    model(17, body(vec![x], constants, nodes, vec![y]))
}

fn refused(name: &str, model: &ModelProto, text: &str) {
    let outcome = load(name, &model.encode_to_vec());
    let error = outcome.expect_err(name);
    assert!(error.contains(text), "{name}: {error}");
}

fn sparse(name: &str, extent: i64) -> SparseTensorProto {
    SparseTensorProto {
        values: Some(floats(name, &[1], &[1.0])),
        indices: Some(numbers("", &[0])),
        dims: vec![extent],
    }
}

fn int_of(value: i64) -> TensorProto {
    TensorProto { dims: vec![], ..numbers("n", &[value]) }
}

#[test]
fn memory_in_proportion() {
    let _alone = alone();
    let x = |op: &str| node(op, &["x", "s"], &["y"]);
    // Shapes without data.
    let w = floats("w", &[1 << 31], &[]);
    refused(
        "declared",
        &through(vec![node("Add", &["x", "w"], &["y"])], vec![w]),
        "the file has 0",
    );
    let many = floats("w", &vec![1; 1 << 16], &[1.0]);
    refused("axes", &through(vec![node("Add", &["x", "w"], &["y"])], vec![many]), "axes");
    for (i, (op, shape)) in [
        ("ConstantOfShape", vec![1i64 << 31]),
        ("ConstantOfShape", vec![1 << 16, 1 << 15]),
        ("Expand", vec![1 << 28, 2, 3]),
        ("Tile", vec![1 << 14, 1 << 15]),
    ]
    .into_iter()
    .enumerate()
    {
        let first = if op == "ConstantOfShape" { node(op, &["s"], &["y"]) } else { x(op) };
        let model = through(vec![first], vec![numbers("s", &shape)]);
        refused(&format!("{op} {i}"), &model, "--max-memory");
    }
    let constants = |n: i64| vec![int_of(n), TensorProto { name: "d".into(), ..int_of(n) }];
    let mut range = node("Range", &["zero", "n", "one"], &["r"]);
    range.name = "range".into();
    let mut long = constants(1 << 31);
    long.push(TensorProto { name: "zero".into(), ..int_of(0) });
    long.push(TensorProto { name: "one".into(), ..int_of(1) });
    let cast = node_with("Cast", &["r"], &["y"], vec![int("to", 1)]);
    refused("Range", &through(vec![range, cast], long), "--max-memory");
    let on_off = floats("v", &[2], &[0.0, 1.0]);
    let hot = node("OneHot", &["i", "n", "v"], &["y"]);
    let indices = numbers("i", &[1; 64]);
    let model = through(vec![hot], vec![int_of(1 << 26), on_off, indices]);
    refused("OneHot", &model, "--max-memory");
    let eye = vec![node("ConstantOfShape", &["s"], &["e"]), node("EyeLike", &["e"], &["y"])];
    refused("EyeLike", &through(eye, vec![numbers("s", &[1 << 15, 1 << 15])]), "--max-memory");
    // Dense forms of sparse constants.
    let mut model = through(vec![node("Add", &["x", "w"], &["y"])], vec![]);
    if let Some(graph) = &mut model.graph {
        graph.sparse_initializer = (0..40).map(|i| sparse(&format!("w{i}"), 1 << 24)).collect();
    }
    refused("sparse", &model, "too large");
}

fn function(name: &str, nodes: Vec<NodeProto>) -> FunctionProto {
    let version = |domain: &str| OperatorSetIdProto { domain: domain.into(), version: 17 };
    let output = nodes.last().map(|n| n.output[0].clone());
    FunctionProto {
        name: name.into(),
        domain: "local".into(),
        input: vec!["a".into()],
        output: output.into_iter().collect(),
        node: nodes,
        opset_import: vec![version(""), version("local")],
        ..FunctionProto::default()
    }
}

fn local(op: &str, from: &str, to: &str) -> NodeProto {
    NodeProto { domain: "local".into(), ..node(op, &[from], &[to]) }
}

#[test]
fn functions_that_multiply_constants() {
    let _alone = alone();
    // Each call of F3 holds a constant of 64 KiB; F0 to F2 call the next eight times.
    let calls = |op: &str| {
        let name = |i: usize| if i == 0 { "a".to_owned() } else { format!("v{i}") };
        (0..8).map(|i| local(op, &name(i), &name(i + 1))).collect::<Vec<_>>()
    };
    let mut functions: Vec<_> =
        (0..3).map(|i| function(&format!("F{i}"), calls(&format!("F{}", i + 1)))).collect();
    let weights = floats("", &[1 << 14, 1], &vec![0.5; 1 << 14]);
    let mut value = int("value", 0);
    value.r#type = proto::AttributeType::Tensor as i32;
    value.t = Some(weights);
    let body = vec![
        node_with("Constant", &[], &["c"], vec![value]),
        node("ReduceMax", &["c"], &["m"]),
        node("Add", &["a", "m"], &["b"]),
    ];
    functions.push(function("F3", body));
    let model = ModelProto { functions, ..through(vec![local("F0", "x", "y")], vec![]) };
    let _ = load("constants in functions", &model.encode_to_vec());
}

#[test]
fn packed_weights() {
    let _alone = alone();
    // One column is packed as sixteen.
    let x = port("x", F32, &["1", "1048576"]);
    let w = floats("w", &[1 << 20, 1], &vec![0.5; 1 << 20]);
    let graph = body(
        vec![x],
        vec![w],
        vec![node("MatMul", &["x", "w"], &["y"])],
        vec![port("y", F32, &[])],
    );
    load("one column", &model(17, graph).encode_to_vec()).expect("loads");
}

#[test]
fn time_in_proportion() {
    let _alone = alone();
    let chain = |op: &str, n: usize| {
        let name = |i: usize| {
            if i == 0 {
                "x".to_owned()
            } else if i == n {
                "y".to_owned()
            } else {
                format!("v{i}")
            }
        };
        (0..n).map(|i| node(op, &[&name(i)], &[&name(i + 1)])).collect::<Vec<_>>()
    };
    load("chain", &through(chain("Exp", 100_000), vec![]).encode_to_vec()).expect("loads");
    load("identities", &through(chain("Identity", 100_000), vec![]).encode_to_vec())
        .expect("loads");
    // Everything alive until the end.
    let mut wide = Vec::new();
    let names: Vec<String> = (0..10_000).map(|i| format!("v{i}")).collect();
    for name in &names {
        wide.push(node("Exp", &["x"], &[name]));
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    wide.push(node_with("Concat", &all, &["y"], vec![int("axis", 0)]));
    load("wide", &through(wide, vec![]).encode_to_vec()).expect("loads");
    // Outputs.
    let nodes: Vec<_> = names.iter().map(|name| node("Exp", &["x"], &[name])).collect();
    let outputs = names.iter().map(|name| port(name, F32, &[])).collect();
    let graph: GraphProto = body(vec![port("x", F32, &["2", "3"])], vec![], nodes, outputs);
    load("outputs", &model(17, graph).encode_to_vec()).expect("loads");
    // Products read far away.
    let mut nodes: Vec<_> =
        (0..10_000).map(|i| node("MatMul", &["x", "w"], &[&format!("m{i}")])).collect();
    let products: Vec<String> = (0..10_000).map(|i| format!("m{i}")).collect();
    let all: Vec<&str> = products.iter().map(String::as_str).collect();
    nodes.push(node_with("Concat", &all, &["y"], vec![int("axis", 0)]));
    let w = floats("w", &[3, 3], &[0.5; 9]);
    load("products", &through(nodes, vec![w]).encode_to_vec()).expect("loads");
}
