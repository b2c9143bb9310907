//! Recurrent layers.

use crate::tensor::DType;

use super::super::dim::{Dim, product};
use super::{Fact, Operands, ShapeError};

/// Which way time runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// First to last.
    Forward,
    /// Last to first.
    Reverse,
    /// Both, side by side.
    Bidirectional,
}

/// The kind of cell, with what only it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Elman.
    Rnn,
    /// Long short-term memory, gates in the order i, o, f, c.
    Lstm {
        /// Couple the input and forget gates.
        input_forget: bool,
        /// Round the state to eight bits of its range before its product, in each step.
        rounded: bool,
    },
    /// Gated recurrent unit, gates in the order z, r, h.
    Gru {
        /// Apply the reset gate behind the recurrent product.
        linear_before_reset: bool,
    },
}

impl Cell {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rnn => "RNN",
            Self::Lstm { .. } => "LSTM",
            Self::Gru { .. } => "GRU",
        }
    }

    /// Gates a cell has.
    pub fn gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Lstm { .. } => 4,
            Self::Gru { .. } => 3,
        }
    }

    /// Activation functions a direction has.
    pub fn activations(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Lstm { .. } => 3,
            Self::Gru { .. } => 2,
        }
    }
}

/// An activation function of a cell, as ONNX names them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the functions")]
pub enum CellActivation {
    Relu,
    Tanh,
    Sigmoid,
    Affine { alpha: f32, beta: f32 },
    LeakyRelu { alpha: f32 },
    ThresholdedRelu { alpha: f32 },
    ScaledTanh { alpha: f32, beta: f32 },
    HardSigmoid { alpha: f32, beta: f32 },
    Elu { alpha: f32 },
    Softsign,
    Softplus,
}

/// A recurrent layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrent {
    /// The kind of cell.
    pub cell: Cell,
    /// Which way time runs.
    pub direction: Direction,
    /// Activations of the forward direction, then of the reverse one.
    pub activations: Vec<CellActivation>,
    /// Limit of the gates' inputs.
    pub clip: Option<f32>,
    /// `[batch, time, ..]` instead of `[time, batch, ..]`.
    pub batch_major: bool,
}

impl Recurrent {
    /// Number of directions.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.direction == Direction::Bidirectional)
    }

    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let (x, w, r) = (operands.at(0)?, operands.at(1)?, operands.at(2)?);
        let [a, b, input] = &x.shape[..] else {
            return Err(ShapeError(format!(
                "the data {} is not of rank 3",
                operands.show(&x.shape)
            )));
        };
        let (time, batch) = if self.batch_major { (b, a) } else { (a, b) };
        let (directions, gates) = (self.directions() as i64, self.cell.gates() as i64);
        let hidden = r.shape.last().and_then(Dim::fixed).unwrap_or(0);
        let expect = |name: &str, fact: Option<&Fact>, shape: &[Dim]| match fact {
            Some(fact) if fact.shape != shape => Err(ShapeError(format!(
                "{name} is {}, expected {}",
                operands.show(&fact.shape),
                operands.show(shape)
            ))),
            _ => Ok(()),
        };
        let fixed = |n: i64| Dim::Fixed(n);
        expect("w", Some(w), &[fixed(directions), fixed(gates * hidden), input.clone()])?;
        expect("r", Some(r), &[fixed(directions), fixed(gates * hidden), fixed(hidden)])?;
        expect("b", operands.optional(3), &[fixed(directions), fixed(2 * gates * hidden)])?;
        expect("sequence_lens", operands.optional(4), std::slice::from_ref(batch))?;
        let state = if self.batch_major {
            vec![batch.clone(), fixed(directions), fixed(hidden)]
        } else {
            vec![fixed(directions), batch.clone(), fixed(hidden)]
        };
        expect("initial_h", operands.optional(5), &state)?;
        let lstm = matches!(self.cell, Cell::Lstm { .. });
        if lstm {
            expect("initial_c", operands.optional(6), &state)?;
            expect("p", operands.optional(7), &[fixed(directions), fixed(3 * hidden)])?;
        }
        let y = if self.batch_major {
            vec![batch.clone(), time.clone(), fixed(directions), fixed(hidden)]
        } else {
            vec![time.clone(), fixed(directions), batch.clone(), fixed(hidden)]
        };
        let fact = |shape| Fact { dtype: x.dtype, shape };
        let mut results = vec![fact(y), fact(state.clone())];
        if lstm {
            results.push(fact(state));
        }
        Ok(results)
    }
}

/// An LSTM whose weights have eight bits, and whose data have: the sequence once, the state in every
/// step, by its own range.
///
/// Operands: x (`u8`, quantized as a whole), w `[directions, input, gates]`, r `[directions, hidden,
/// gates]` (each `i8` or `u8`, constant), then those of an LSTM from its bias on, then scale and
/// zero point of x, of w and of r: one number for x; for weights one for each direction, or for each
/// of its gates.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLstm(pub Recurrent);

impl QuantizedLstm {
    /// Where the scales and zero points stand among the operands.
    pub const SCALES: usize = 8;

    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let bytes = |dtype| matches!(dtype, DType::U8 | DType::I8);
        let mut inputs = operands.inputs.to_vec();
        inputs.truncate(Self::SCALES);
        for (i, fact) in inputs.iter_mut().take(3).enumerate() {
            let Some(fact) = fact else { continue };
            if fact.shape.len() != 3 || !bytes(fact.dtype) || i == 0 && fact.dtype != DType::U8 {
                return Err(ShapeError(format!("operand {i} is no tensor of bytes")));
            }
            if i > 0 {
                fact.shape.swap(1, 2);
            }
            fact.dtype = DType::F32;
        }
        // Between two transposed shapes, the last axis of r is the hidden one.
        let float = Operands { inputs: &inputs, variables: operands.variables };
        let results = self.0.infer(&float)?;
        for (i, weights) in [None, Some(1), Some(2)].into_iter().enumerate() {
            let scale = operands.at(Self::SCALES + 2 * i)?;
            let zero = operands.at(Self::SCALES + 2 * i + 1)?;
            let of = operands.at(weights.unwrap_or(0))?;
            let many = product(&scale.shape);
            let fits = match weights {
                None => many.is(1),
                Some(_) => many == of.shape[0] || many == of.shape[0].clone() * of.shape[2].clone(),
            };
            let alike = product(&zero.shape) == many && zero.dtype == of.dtype;
            if !fits || !alike || scale.dtype != DType::F32 {
                return Err(ShapeError("a scale or a zero point does not fit".into()));
            }
        }
        Ok(results)
    }
}
