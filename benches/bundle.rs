//! Opening and verifying a bundle of about 5 MB, beside the time to read its bytes.
//!
//! Everything takes turns on one thread, so that whatever disturbs the machine disturbs all. Each
//! figure is the median and the 99th percentile of its calls, in microseconds.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use nowcast::bundle::{File, Writer, write_atomically};
use nowcast::compile::compile;
use nowcast::graph::{Dim, Fact, Graph, Op, Port, Tensor};
use nowcast::runtime::{KERNELS, Program, Session};
use nowcast::tensor::DType;

const ROUNDS: usize = 400;

/// A chain of products with relu between them.
fn chain(layers: usize, width: usize) -> Program<'static> {
    let mut graph = Graph::default();
    let shape = [1, width as i64].map(Dim::Fixed).into_iter().collect();
    let x = graph.add_value("x", &Fact { dtype: DType::F32, shape });
    graph.inputs.push(Port { name: "x".into(), value: x });
    let mut last = x;
    for layer in 0..layers {
        let weight = |i: usize| ((i * 37 + layer) % 101) as f32 / 1000.0 - 0.05;
        let weights: Vec<f32> = (0..width * width).map(weight).collect();
        let weights = graph.add_constant("w", Tensor::new(&[width, width], &weights));
        let product = graph.add_node("product", Op::MatMul, &[Some(last), Some(weights)], &[]);
        last = product.expect("suits")[0];
    }
    graph.outputs.push(Port { name: "y".into(), value: last });
    compile(&graph).expect("compiles")
}

fn answer(program: &Program<'_>) -> Vec<f32> {
    let mut session = Session::new(program).expect("runs");
    session.input_mut::<f32>(0).expect("f32").fill(0.5);
    session.run().expect("runs");
    session.output(0).expect("f32").to_vec()
}

/// The bytes as sums, by words in as many chains as hide their latency.
fn read(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; 32];
    let (words, _) = bytes.as_chunks::<8>();
    let (blocks, _) = words.as_chunks::<32>();
    for block in blocks {
        for (sum, word) in sums.iter_mut().zip(block) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    sums.iter().fold(0, |a, b| a.wrapping_add(*b))
}

#[allow(unsafe_code, reason = "a mapping is as good as its file")]
fn map(path: &Path) -> File {
    // SAFETY: nobody else writes the file.
    unsafe { File::map(path) }.expect("opens")
}

struct Row {
    name: &'static str,
    times_ns: Vec<u64>,
}

fn time(row: &mut Row, call: impl FnOnce()) {
    let started = Instant::now();
    call();
    row.times_ns.push(started.elapsed().as_nanos() as u64);
}

fn main() {
    if let Some(core) = core_affinity::get_core_ids().unwrap_or_default().last() {
        core_affinity::set_for_current(*core);
    }
    let folder = std::env::temp_dir().join(format!("nowcast-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for (layers, width) in [(5, 512), (320, 64)] {
        let program = chain(layers, width);
        let mut writer = Writer::new();
        writer.model("chain").expect("a name").program(&program);
        let bytes = writer.finish().expect("a bundle");
        let path = folder.join("chain.nowcast");
        write_atomically(&path, &bytes).expect("written");

        let mapped = map(&path);
        mapped.bundle().verify().expect("whole");
        let again = mapped.program(None, &KERNELS).expect("a program");
        assert_eq!(answer(&again), answer(&program));

        let names = [
            "map, open, program",
            "program, mapped",
            "verify, mapped",
            "read, mapped",
            "verify, fresh map",
            "read, fresh map",
        ];
        let mut rows = names.map(|name| Row { name, times_ns: Vec::new() });
        for _ in 0..ROUNDS {
            time(&mut rows[0], || {
                black_box(map(&path).program(None, &KERNELS).expect("a program"));
            });
            time(&mut rows[1], || {
                black_box(mapped.program(None, &KERNELS).expect("a program"));
            });
            time(&mut rows[2], || mapped.bundle().verify().expect("whole"));
            time(&mut rows[3], || {
                black_box(read(mapped.bundle().as_bytes()));
            });
            let fresh = map(&path);
            time(&mut rows[4], || fresh.bundle().verify().expect("whole"));
            let fresh = map(&path);
            time(&mut rows[5], || {
                black_box(read(fresh.bundle().as_bytes()));
            });
        }
        println!("{} bytes, {} steps", bytes.len(), program.steps().len());
        let mut medians = Vec::new();
        for row in &mut rows {
            row.times_ns.sort_unstable();
            let rank = |permille: usize| {
                row.times_ns[(ROUNDS * permille).div_ceil(1000) - 1] as f64 / 1000.0
            };
            println!("  {:<20} p50 {:>8.1} µs  p99 {:>8.1} µs", row.name, rank(500), rank(990));
            medians.push(rank(500));
        }
        println!(
            "  verify / read: mapped {:.2}, fresh map {:.2}",
            medians[2] / medians[3],
            medians[4] / medians[5]
        );
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}
