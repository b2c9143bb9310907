//! Products of two computed operands.

use super::*;
use crate::kernels::int8::pack_quads;
use crate::runtime::record::Extents;
use crate::runtime::steps::product::{Matrix, Product};

crate::record! {
    /// `y = stages(a · b)` for each matrix of a batch. Rows of `a` are contiguous; `b` is packed as
    /// weights are, once for all that share it.
    pub(crate) struct MatMulI8Record {
        pub(crate) batch: Extents,
        pub(crate) m: Extent,
        pub(crate) n: Extent,
        pub(crate) k: Extent,
        pub(crate) a: Matrix,
        pub(crate) b: Matrix,
        pub(crate) grids: [GridRecord; 2],
        pub(crate) stages: ArrayVec<StageRecord, MOST_STAGES>,
        pub(crate) given: GivenRecord,
        /// Room for `b`, and for what belongs to its columns.
        pub(crate) quads: Scratch,
        pub(crate) sums: Scratch,
        pub(crate) scales: Scratch,
        /// Room for rows of `a`.
        pub(crate) rows: Option<Scratch>,
        pub(crate) y: Out,
    }
}

impl MatMulI8Record {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (m, n, k) = (reach.extent(self.m)?, reach.extent(self.n)?, reach.extent(self.k)?);
        let ([of_a, of_b], batch) = (&self.grids, &self.batch);
        of_a.fits(reach)?;
        of_b.fits(reach)?;
        self.a.fits(reach, of_a.dtype(), batch, [m, k], true)?;
        self.b.fits(reach, of_b.dtype(), batch, [k, n], false)?;
        let rows = count(&[reach.product(batch)?, m])?;
        stages_fit(&self.stages, reach, rows, n)?;
        self.given.fits()?;
        let (len, columns) = (count(&[rows, n])?, n.checked_next_multiple_of(PANEL)?);
        reach.holds_as(&self.y, self.given.dtype(), len)?;
        reach.holds::<u32>(&self.quads, packed_quads_len(k, n)?)?;
        reach.holds::<i32>(&self.sums, columns)?;
        reach.holds::<f32>(&self.scales, columns)?;
        room_fits(reach, &self.rows, scratch_len(m, k)?)?;
        // Both operands may be broadcast along `k`, but not to more than either holds.
        let of = |matrix: &Matrix, grid: &GridRecord| reach.len_as(&matrix.memory, grid.dtype());
        require(k <= of(&self.a, of_a)?.max(of(&self.b, of_b)?) || len == 0)
    }
}

pub(crate) static MATMUL_I8: Kernel = kernel!(MatMulI8, MatMulI8Record::fits, simd matmul_i8);

fn matmul_i8<S: Simd>(step: Step<'_>) {
    let mut record = MatMulI8Record::empty();
    let operands = step.read(&mut record);
    let level = operands.level();
    let Some(s) = S::from_level(level) else { return };
    let product = Product::new(
        &operands,
        &record.batch,
        [record.m, record.n, record.k],
        [&record.a, &record.b],
        None,
    );
    let (m, n, k) = (product.m, product.n, product.k);
    if m == 0 || n == 0 {
        return;
    }
    let [of_a, of_b] = record.grids.each_ref().map(|grid| grid.grid(&operands));
    // What turns the bytes of `b` into signed ones, and what that takes off.
    let (flip, moved) = if of_b.signed { (0, 0) } else { (0x80, 128) };
    let (a, b) = (operands.read::<u8>(record.a.memory), operands.read::<u8>(record.b.memory));
    let mut stages = Stages::new();
    take_stages(&mut record.stages, &operands, &mut stages);
    let mut output = given(record.given, record.y, &operands);
    let columns = n.next_multiple_of(PANEL);
    let quads = operands.scratch::<u32>(record.quads);
    let sums = operands.scratch::<i32>(record.sums);
    let scales = &mut operands.scratch::<f32>(record.scales)[..columns];
    scales.fill(of_b.scale);
    let zero = of_b.zero - moved;
    let zeros = if zero == 0 { Zeros::None } else { Zeros::One(zero) };
    let scratch = record.rows.map_or(&mut [][..], |rows| operands.scratch(rows));
    let mut packed = None;
    product.each(|at_a, at_b, _, i| {
        let (a, b) = if k == 0 { (&[][..], &[][..]) } else { (&a[at_a..], &b[at_b..]) };
        // Heads that share keys are packed once.
        if packed != Some(at_b) {
            let strides = (product.b.row, product.b.col);
            s.vectorize(Pack { b, flip, shape: (k, n), strides, quads, sums });
            packed = Some(at_b);
        }
        let mut behind = Stages::new();
        behind.extend(stages.iter().map(|stage| stage.behind(i * m, 0)));
        gemm_i8(
            s,
            level,
            GemmI8 {
                m,
                n,
                k,
                a,
                a_row_stride: product.a.row,
                windows: None,
                a_grid: of_a,
                b: quads,
                b_sums: sums,
                b_scale: scales,
                b_zero: zeros,
                stages: &behind,
                output: output.part(i * m * n..(i + 1) * m * n),
                c_row_stride: n,
                scratch,
            },
        );
    });
}

/// [`pack_quads`], compiled for an instruction set.
struct Pack<'a> {
    b: &'a [u8],
    flip: u8,
    shape: (usize, usize),
    strides: (usize, usize),
    quads: &'a mut [u32],
    sums: &'a mut [i32],
}

impl Vectorized for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        pack_quads(self.b, self.flip, self.shape, self.strides, self.quads, self.sums);
    }
}
