use crate::compile::harness::{assert_same, noise, run, run_ranged};
use crate::graph::ops::{Chain, Given, Grid8, QuantizedMatMul, Stage};
use crate::graph::{Op, Tensor};
use crate::tensor::DType;

fn bytes(grid: Grid8, shape: &[usize], seed: usize) -> Tensor {
    let len: usize = shape.iter().product();
    let bytes: Vec<u8> = (0..len).map(|i| (((i + seed) * 40_503) >> 5) as u8).collect();
    Tensor::from_bytes(grid.dtype(), shape, &bytes)
}

/// The operands of a product: its data with their grids, then those of its stages.
fn operands(data: [&Tensor; 2], grids: [Grid8; 2], more: &[Tensor]) -> Vec<Option<Tensor>> {
    let each = data.into_iter().zip(grids).flat_map(|(x, grid)| {
        let zero = Tensor::from_bytes(grid.dtype(), &[], &[grid.zero as u8]);
        [x.clone(), Tensor::scalar(grid.scale), zero]
    });
    each.chain(more.iter().cloned()).map(Some).collect()
}

/// The values without the zero point.
fn centred(x: &Tensor, grid: Grid8) -> Tensor {
    let values: Vec<f64> = x.to_f64s().iter().map(|x| x - f64::from(grid.zero)).collect();
    Tensor::new(x.shape(), &values)
}

fn grid(scale: f32, zero: i32, dtype: DType) -> Grid8 {
    Grid8 { scale, zero, signed: dtype == DType::I8 }
}

const SHAPES: [[&[usize]; 2]; 6] = [
    [&[5, 7], &[7, 9]],
    [&[2, 3, 4, 6], &[2, 3, 6, 17]],
    [&[2, 1, 3, 33], &[3, 33, 1]],
    [&[14, 8], &[2, 8, 16]],
    [&[3, 1, 1], &[1, 40]],
    [&[2, 3, 0], &[2, 0, 5]],
];

#[test]
fn sums_are_exact() {
    let types = [(DType::U8, 117, DType::U8, 90), (DType::I8, -7, DType::U8, 128)];
    let more = [(DType::U8, 0, DType::I8, 0), (DType::I8, 127, DType::I8, -128)];
    for (i, [of_a, of_b]) in SHAPES.into_iter().enumerate() {
        for (a, a_zero, b, b_zero) in types.into_iter().chain(more) {
            let grids = [grid(0.5, a_zero, a), grid(0.25, b_zero, b)];
            let data = [bytes(grids[0], of_a, i), bytes(grids[1], of_b, 77)];
            let exact = [0, 1].map(|i| Some(centred(&data[i], grids[i])));
            let exact = run(Op::MatMul, &exact).remove(0);
            let sums: Vec<i32> = exact.to_f64s().iter().map(|x| *x as i32).collect();
            let want = [Tensor::new(exact.shape(), &sums)];
            let op = QuantizedMatMul { stages: Vec::new(), given: Given::Sums };
            let op = Op::QuantizedMatMul(op);
            let operands = operands([&data[0], &data[1]], grids, &[]);
            assert_same(&run(op.clone(), &operands), &want);
            let last = of_a.len() - 1;
            let depth = of_b.len() - 2;
            let ranged = [(0, last), (3, depth)];
            if of_a[last] <= 9 {
                assert_same(&run_ranged(|_| op.clone(), &operands, &ranged), &want);
            }
        }
    }
}

/// Matrices that are added lie behind one another as those of the batch do.
#[test]
fn stages_go_with_the_batch() {
    let grids = [grid(0.02, 100, DType::U8), grid(0.01, 3, DType::I8)];
    let (a, b) = (bytes(grids[0], &[2, 3, 4, 6], 1), bytes(grids[1], &[3, 6, 5], 2));
    let (row, residual) = (noise(&[5], 3), noise(&[2, 3, 4, 5], 4));
    let of_c = grid(0.03, -5, DType::I8);
    let c = bytes(of_c, &[2, 3, 4, 5], 9);
    let exact = [0, 1].map(|i| Some(centred([&a, &b][i], grids[i])));
    let exact = run(Op::MatMul, &exact).remove(0);
    let numbers = [exact.to_f64s(), row.to_f64s(), residual.to_f64s(), centred(&c, of_c).to_f64s()];
    let [sums, factors, summands, integers] = &numbers;
    let want: Vec<f32> = (0..sums.len())
        .map(|i| {
            let x = sums[i] * 0.02 * 0.01 * 0.5 * factors[i % 5];
            (x + summands[i] + integers[i] * f64::from(0.03f32)) as f32
        })
        .collect();
    let stages = vec![Stage::Times(0.5), Stage::MulRow, Stage::Add, Stage::AddQuantized(of_c)];
    let op = QuantizedMatMul { stages, given: Given::Float };
    let operands = operands([&a, &b], grids, &[row, residual, c]);
    let got = run(Op::QuantizedMatMul(op), &operands);
    assert_same(&got, &[Tensor::new(&[2, 3, 4, 5], &want)]);
}

#[test]
fn softmax_between_grids() {
    let from = grid(0.04, 131, DType::U8);
    let to = grid(1.0 / 250.0, -128, DType::I8);
    for shape in [&[3, 7][..], &[2, 2, 40], &[1, 1], &[2, 130]] {
        let n = *shape.last().expect("rows");
        let x = bytes(from, shape, 5);
        let numbers: Vec<f64> =
            centred(&x, from).to_f64s().iter().map(|x| x * f64::from(from.scale)).collect();
        let mut weights = Vec::new();
        for row in numbers.chunks(n) {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            weights.extend(row.iter().map(|x| x.exp() / sum));
        }
        let floats: Vec<f32> = weights.iter().map(|x| *x as f32).collect();
        let chain = Chain { from: Some(from), stages: Vec::new(), given: Given::Float };
        let got = run(Op::QuantizedSoftmax(chain), &[Some(x.clone())]);
        assert_same(&got, &[Tensor::new(shape, &floats)]);
        let steps = |x: &f64| (x / f64::from(to.scale)).round_ties_even() as i32 + to.zero;
        let bytes: Vec<i8> = weights.iter().map(|x| steps(x).clamp(-128, 127) as i8).collect();
        let chain = Chain { from: Some(from), stages: Vec::new(), given: Given::Quantized(to) };
        let got = run(Op::QuantizedSoftmax(chain), &[Some(x)]);
        assert_same(&got, &[Tensor::new(shape, &bytes)]);
    }
    // Stages are those of the weights, row by row.
    let (x, more) = (noise(&[3, 20], 1), noise(&[3, 20], 2));
    let weights = run(Op::Softmax { axis: 1 }, &[Some(x.clone())]).remove(0);
    let want: Vec<f32> =
        weights.to_f64s().iter().zip(more.to_f64s()).map(|(w, m)| (w + m) as f32).collect();
    let chain = Chain { from: None, stages: vec![Stage::Add], given: Given::Float };
    let got = run(Op::QuantizedSoftmax(chain), &[Some(x), Some(more)]);
    assert_same(&got, &[Tensor::new(&[3, 20], &want)]);
}
