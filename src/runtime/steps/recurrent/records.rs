//! What steps of recurrent layers carry, and its checks.

use arrayvec::ArrayVec;

use crate::kernels::gemm::PANEL;
use crate::kernels::recurrent::RecurrentActivation;
use crate::kernels::recurrent::layout::padded;
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, HeldIn, In, Operand, Out, Scratch, SharedOut};
use crate::tensor::DType;

crate::record! {
    /// Rows of a state or result: where the first begins, and how far apart they are.
    pub(crate) struct Rows {
        pub(crate) offset: Extent,
        pub(crate) time_stride: Extent,
        pub(crate) batch_stride: Extent,
    }
}

impl Rows {
    /// Whether rows of `width` numbers, where they are given, lie within.
    fn fit(
        &self,
        reach: &Reach<'_>,
        operand: &Option<impl Operand>,
        shape: [usize; 3],
    ) -> Option<()> {
        operand.as_ref().map_or(Some(()), |operand| self.fit_as(reach, operand, DType::F32, shape))
    }

    /// The same of an operand of another type.
    pub(super) fn fit_as(
        &self,
        reach: &Reach<'_>,
        operand: &impl Operand,
        dtype: DType,
        [time, batch, width]: [usize; 3],
    ) -> Option<()> {
        let len = reach.len_as(operand, dtype)?;
        let (far, wide) = (reach.stride(self.time_stride)?, reach.stride(self.batch_stride)?);
        require(reach.signed(self.offset)? >= 0)?;
        let axes = [(time, far), (batch, wide), (width, 1)];
        reach.within(len, self.offset, (&[], &[]), &axes)
    }
}

crate::record! {
    /// An activation and its parameters; the numbers are pinned.
    pub(crate) struct CellActivationWords {
        pub(crate) code: u32,
        pub(crate) p: [f32; 2],
    }
}

impl CellActivationWords {
    pub(super) fn activation(&self) -> RecurrentActivation {
        let [a, b] = self.p;
        match self.code {
            0 => RecurrentActivation::Sigmoid,
            2 => RecurrentActivation::Relu,
            3 => RecurrentActivation::Affine(a, b),
            4 => RecurrentActivation::LeakyRelu(a),
            5 => RecurrentActivation::ThresholdedRelu(a),
            6 => RecurrentActivation::ScaledTanh(a, b),
            7 => RecurrentActivation::HardSigmoid(a, b),
            8 => RecurrentActivation::Elu(a),
            9 => RecurrentActivation::Softsign,
            10 => RecurrentActivation::Softplus,
            _ => RecurrentActivation::Tanh,
        }
    }
}

crate::record! {
    /// One direction of a recurrent layer. The layout of weights, biases and gates is that of
    /// [`layout`](crate::kernels::recurrent::layout).
    pub(crate) struct RecurrentRecord {
        pub(crate) time: Extent,
        pub(crate) batch: Extent,
        pub(crate) input: u32,
        pub(crate) hidden: u32,
        pub(crate) reverse: bool,
        pub(crate) input_forget: bool,
        pub(crate) clip: f32,
        pub(crate) activations: ArrayVec<CellActivationWords, 3>,
        pub(crate) x: In,
        pub(crate) x_rows: Rows,
        /// Input weights of all gates in panels.
        pub(crate) w: In,
        /// Bias of the input's part, and the state's where it can go with it.
        pub(crate) bias: Option<In>,
        /// Moments whose gates are computed together.
        pub(crate) chunk: u32,
        /// `[chunk, batch, gates]`.
        pub(crate) gates: Scratch,
        /// Recurrent weights side by side: all gates, or with a reset of the state the first two.
        pub(crate) r: In,
        /// Recurrent weights of the hidden gate, with a reset of the state.
        pub(crate) r_hidden: Option<In>,
        /// Bias of the state's part in the hidden gate, where it cannot go with the input's.
        pub(crate) h_bias: Option<In>,
        pub(crate) peephole: Option<In>,
        pub(crate) peephole_offset: Extent,
        /// Steps of each row of the batch (i32).
        pub(crate) lengths: Option<In>,
        pub(crate) h0: Option<HeldIn>,
        pub(crate) c0: Option<HeldIn>,
        pub(crate) y: Option<Out>,
        pub(crate) y_rows: Rows,
        pub(crate) y_h: Option<SharedOut>,
        pub(crate) y_c: Option<SharedOut>,
        /// Of the states before and behind: offset and distance of rows.
        pub(crate) state_rows: Rows,
        /// Two hidden states in whole groups: the one before and the next.
        pub(crate) h: Scratch,
        pub(crate) c: Option<Scratch>,
        /// The reset or rounded state in whole groups, or the state's part of one group's gates.
        pub(crate) part: Option<Scratch>,
    }
}

impl RecurrentRecord {
    /// Whether a cell of `gates` gates, of which `plain` are one product with the state, finds
    /// what it needs; `part` is the width of a row that is computed apart.
    fn fits(
        &self,
        reach: &Reach<'_>,
        [activations, gates, plain]: [usize; 3],
        part: usize,
    ) -> Option<()> {
        let (time, batch) = (reach.extent(self.time)?, reach.extent(self.batch)?);
        let (input, hidden) = (self.input as usize, self.hidden as usize);
        let units = padded(hidden)?;
        self.x_rows.fit_as(reach, &self.x, DType::F32, [time, batch, input])?;
        reach.holds::<f32>(&self.w, count(&[input, gates, units])?)?;
        reach.holds::<f32>(&self.r, count(&[hidden, plain, units])?)?;
        reach.may_hold(&self.r_hidden, DType::F32, count(&[hidden, units])?)?;
        reach.may_hold(&self.part, DType::F32, count(&[batch, part])?)?;
        self.fits_but_weights(reach, [activations, gates])
    }

    /// The same but for data and weights.
    pub(super) fn fits_but_weights(
        &self,
        reach: &Reach<'_>,
        [activations, gates]: [usize; 2],
    ) -> Option<()> {
        let (time, batch) = (reach.extent(self.time)?, reach.extent(self.batch)?);
        let hidden = self.hidden as usize;
        let units = padded(hidden)?;
        let columns = count(&[gates, units])?;
        let states = count(&[batch, units])?;
        require(self.activations.len() >= activations && self.clip >= 0.0)?;
        require(self.chunk > 0)?;

        reach.may_hold(&self.bias, DType::F32, columns)?;
        let chunk = (self.chunk as usize).min(time);
        reach.holds::<f32>(&self.gates, count(&[chunk, batch, columns])?)?;

        reach.may_hold(&self.h_bias, DType::F32, units)?;
        let peephole = reach.extent(self.peephole_offset)?.checked_add(count(&[3, hidden])?)?;
        reach.may_hold(&self.peephole, DType::F32, peephole)?;
        reach.may_hold(&self.lengths, DType::I32, batch)?;

        self.y_rows.fit(reach, &self.y, [time, batch, hidden])?;
        let state = [1, batch, hidden];
        self.state_rows.fit(reach, &self.h0, state)?;
        self.state_rows.fit(reach, &self.c0, state)?;
        self.state_rows.fit(reach, &self.y_h, state)?;
        self.state_rows.fit(reach, &self.y_c, state)?;
        reach.holds::<f32>(&self.h, count(&[2, states])?)?;
        reach.may_hold(&self.c, DType::F32, states)
    }

    pub(super) fn fits_rnn(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, [1, 1, 1], 0)
    }

    pub(super) fn fits_lstm(&self, reach: &Reach<'_>) -> Option<()> {
        require(self.c.is_some())?;
        self.fits(reach, [3, 4, 4], padded(self.hidden as usize)?)
    }

    pub(super) fn fits_gru_linear(&self, reach: &Reach<'_>) -> Option<()> {
        require(self.part.is_some())?;
        self.fits(reach, [2, 3, 3], 3 * PANEL)
    }

    pub(super) fn fits_gru_reset(&self, reach: &Reach<'_>) -> Option<()> {
        require(self.part.is_some() && self.r_hidden.is_some())?;
        self.fits(reach, [2, 3, 2], padded(self.hidden as usize)?)
    }
}
