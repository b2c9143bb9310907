//! Normals and correlated paths, on each instruction set of the host.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nowcast::kernels::Level;
use nowcast::sampling::{Gaussian, OwnedGaussian, PathAddress, standard_normals};

const FIRST: PathAddress = PathAddress { seed: 42, stream: 0, path: 0 };
const PATHS: usize = 1000;

/// Correlations that fall with the distance, and different variances.
fn covariance(dim: usize) -> Vec<f64> {
    let entry = |row: usize, col: usize| {
        let scale = |index: usize| 1.0 + 0.1 * index as f64;
        0.8f64.powi(row.abs_diff(col) as i32) * scale(row) * scale(col)
    };
    (0..dim * dim).map(|n| entry(n / dim, n % dim)).collect()
}

/// The draws are right before the clock starts.
fn check(gaussian: Gaussian<'_>, level: Level, out: &mut [f32]) {
    let dim = gaussian.dim();
    gaussian.draw(level, FIRST, out).unwrap();
    let mut scalar = vec![0.0; out.len()];
    gaussian.draw(Level::scalar(), FIRST, &mut scalar).unwrap();
    assert_eq!(out, scalar);
    for index in 0..dim {
        let sum: f32 = out.chunks_exact(dim).map(|path| path[index] - gaussian.mean()[index]).sum();
        let limit = 6.0 * gaussian.marginal_std(index) * (PATHS as f32).sqrt();
        assert!(sum.abs() < limit, "{index}: {sum}");
    }
}

fn normals(c: &mut Criterion) {
    let mut group = c.benchmark_group("standard_normals");
    let mut out = vec![0.0f32; PATHS * 20];
    group.throughput(Throughput::Elements(out.len() as u64));
    for level in Level::each() {
        group.bench_function(BenchmarkId::from_parameter(level.isa()), |b| {
            b.iter(|| standard_normals(level, FIRST, 20, black_box(&mut out)));
        });
    }
}

fn draws(c: &mut Criterion) {
    let mut group = c.benchmark_group("draw_1000");
    for dim in [5, 20, 64, 200] {
        let full = OwnedGaussian::full(&vec![1.0; dim], &covariance(dim)).unwrap();
        let diagonal = OwnedGaussian::diagonal(&vec![1.0; dim], &vec![2.0; dim]).unwrap();
        let mut out = vec![0.0; PATHS * dim];
        group.throughput(Throughput::Elements(out.len() as u64));
        for level in Level::each() {
            for (name, owned) in [("full", &full), ("diagonal", &diagonal)] {
                check(owned.gaussian(), level, &mut out);
                let id = BenchmarkId::new(format!("{name}/{}", level.isa()), dim);
                group.bench_function(id, |b| {
                    b.iter(|| owned.gaussian().draw(level, FIRST, black_box(&mut out)));
                });
            }
        }
    }
}

fn factor(c: &mut Criterion) {
    let mut group = c.benchmark_group("factor");
    for dim in [20, 200] {
        let (mean, covariance) = (vec![0.0; dim], covariance(dim));
        let mut storage = vec![0.0f32; Gaussian::full_len(dim)];
        let mut scratch = vec![0.0; Gaussian::full_scratch_len(dim)];
        for level in Level::each() {
            group.bench_function(BenchmarkId::new(level.isa().name(), dim), |b| {
                b.iter(|| {
                    let made =
                        Gaussian::full(level, &mean, &covariance, &mut storage, &mut scratch);
                    made.is_ok()
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = normals, draws, factor
}
criterion_main!(benches);
