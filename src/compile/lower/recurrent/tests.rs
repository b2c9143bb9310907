use super::super::super::harness::{assert_same, noise, run};
use super::*;
use crate::graph::{Op, Tensor};

const TIME: usize = 3;
const BATCH: usize = 2;
const INPUT: usize = 4;
const HIDDEN: usize = 5;

/// Operands of a layer; `all` with every optional one.
fn operands(op: &Recurrent, all: bool) -> Vec<Option<Tensor>> {
    let (directions, columns) = (op.directions(), op.cell.gates() * HIDDEN);
    let data = if op.batch_major { [BATCH, TIME, INPUT] } else { [TIME, BATCH, INPUT] };
    let state =
        if op.batch_major { [BATCH, directions, HIDDEN] } else { [directions, BATCH, HIDDEN] };
    let mut list = vec![
        Some(noise(&data, 1)),
        Some(noise(&[directions, columns, INPUT], 2)),
        Some(noise(&[directions, columns, HIDDEN], 3)),
    ];
    if all {
        list.push(Some(noise(&[directions, 2 * columns], 4)));
        list.push(Some(Tensor::new(&[BATCH], &[TIME as i32, 1])));
        list.push(Some(noise(&state, 5)));
        if matches!(op.cell, Cell::Lstm { .. }) {
            list.push(Some(noise(&state, 6)));
            list.push(Some(noise(&[directions, 3 * HIDDEN], 7)));
        }
    }
    list
}

#[test]
fn weights_may_be_inputs_in_every_form() {
    let directions = [Direction::Forward, Direction::Reverse, Direction::Bidirectional];
    let cells = [
        Cell::Rnn,
        Cell::Lstm { input_forget: false, rounded: false },
        Cell::Lstm { input_forget: false, rounded: true },
        Cell::Gru { linear_before_reset: true },
        Cell::Gru { linear_before_reset: false },
    ];
    for (i, cell) in cells.into_iter().enumerate() {
        for all in [false, true] {
            let direction = directions[(i + usize::from(all)) % 3];
            let one = [CellActivation::Sigmoid, CellActivation::Tanh, CellActivation::Softsign];
            let one = &one[..cell.activations()];
            let count = 1 + usize::from(direction == Direction::Bidirectional);
            let activations = one.repeat(count);
            let clip = all.then_some(1.5);
            let op = Recurrent { cell, direction, activations, clip, batch_major: i % 2 == 1 };
            let operands = operands(&op, all);
            let results = run(Op::Recurrent(op), &operands);
            assert!(results.iter().flat_map(Tensor::to_f64s).all(f64::is_finite));
        }
    }
}

/// The state in eight bits of its range: of 0 to 1 a step is 1 / 255.
#[test]
fn a_state_is_rounded_before_its_product() {
    let run_from = |rounded: bool, h0: [f32; 2]| {
        let cell = Cell::Lstm { input_forget: false, rounded };
        let activations = vec![CellActivation::Sigmoid, CellActivation::Tanh, CellActivation::Tanh];
        let direction = Direction::Forward;
        let op = Recurrent { cell, direction, activations, clip: None, batch_major: false };
        let (x, w, r) = (noise(&[1, 1, 3], 1), noise(&[1, 8, 3], 2), noise(&[1, 8, 2], 3));
        let h0 = Tensor::new(&[1, 1, 2], &h0);
        run(Op::Recurrent(op), &[Some(x), Some(w), Some(r), None, None, Some(h0)])
    };
    assert_same(&run_from(true, [1.0, 0.3337]), &run_from(false, [1.0, 85.0 / 255.0]));
    assert_ne!(run_from(true, [1.0, 0.3337]), run_from(false, [1.0, 0.3337]));
}
