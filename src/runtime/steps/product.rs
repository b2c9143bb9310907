//! Matrix products.

use crate::kernels::bf16::packed_pairs_len;
use crate::kernels::gemm::bf16::{GemmBf16, gemm_bf16, rounded_len};
use crate::kernels::gemm::{Arithmetic, Bias, GemmF32, GemmScalar, PANEL, gemm_f32, gemm_scalar};
use crate::kernels::number::Number;
use crate::kernels::pack::{pack_panels_f32, packed_len};
use crate::kernels::{Activation, Simd};
use crate::runtime::check::{Reach, count, require};
use crate::runtime::record::{Extent, Extents, Field, In, Out, Scratch, Words};
use crate::runtime::step::{Kernel, KernelId, Operands, Step, kernel};
use crate::tensor::{DType, Element};

use super::walk::rows;

crate::record! {
    /// A function applied to each element of a product; the numbers are pinned.
    pub(crate) struct ActivationWords {
        pub(crate) code: u32,
        pub(crate) p: [f32; 2],
    }
}

impl ActivationWords {
    #[cfg(feature = "std")]
    pub(crate) fn new(activation: Activation) -> Self {
        let (code, p) = match activation {
            Activation::Relu => (1, [0.0; 2]),
            Activation::LeakyRelu(alpha) => (2, [alpha, 0.0]),
            Activation::Clip(min, max) => (3, [min, max]),
            Activation::Sigmoid => (4, [0.0; 2]),
            Activation::Tanh => (5, [0.0; 2]),
            Activation::Gelu => (6, [0.0; 2]),
            Activation::GeluTanh => (7, [0.0; 2]),
            Activation::Silu => (8, [0.0; 2]),
            Activation::Swish(slope) => (9, [slope, 0.0]),
            Activation::None => (0, [0.0; 2]),
        };
        Self { code, p }
    }

    #[inline(always)]
    pub(crate) fn activation(&self) -> Activation {
        match self.code {
            1 => Activation::Relu,
            2 => Activation::LeakyRelu(self.p[0]),
            3 => Activation::Clip(self.p[0], self.p[1]),
            4 => Activation::Sigmoid,
            5 => Activation::Tanh,
            6 => Activation::Gelu,
            7 => Activation::GeluTanh,
            8 => Activation::Silu,
            9 => Activation::Swish(self.p[0]),
            _ => Activation::None,
        }
    }
}

crate::record! {
    /// Rows that may lie apart from one another; each is contiguous.
    pub(crate) struct MatrixRows {
        pub(crate) memory: In,
        pub(crate) offset: Extent,
        pub(crate) stride: Extent,
    }
}

impl MatrixRows {
    /// Whether there are so many of `len` f32.
    fn fits(&self, reach: &Reach<'_>, rows: usize, len: usize) -> Option<()> {
        self.fits_as(reach, DType::F32, rows, len)
    }

    /// Whether there are so many of `len` elements `dtype`.
    pub(super) fn fits_as(
        &self,
        reach: &Reach<'_>,
        dtype: DType,
        rows: usize,
        len: usize,
    ) -> Option<()> {
        let (offset, stride) = (reach.extent(self.offset)?, reach.extent(self.stride)?);
        let last = rows.saturating_sub(1).checked_mul(stride)?.checked_add(offset)?;
        require(reach.len_as(&self.memory, dtype)? >= last.checked_add(len)? || rows == 0)
    }

    /// The elements from the first row on, and how far apart rows begin.
    #[inline(always)]
    pub(super) fn at<'s, T: Element>(&self, operands: &Operands<'s>) -> (&'s [T], usize) {
        let from = &operands.read::<T>(In(self.memory.0))[operands.extent(self.offset)..];
        (from, operands.extent(self.stride))
    }
}

crate::record! {
    /// `y[rows, n] = activation(x[rows, k] · w[k, n] + bias[n] + residual[rows, n])`; `w` in
    /// panels of 16 columns.
    pub(crate) struct LinearRecord {
        pub(crate) x: MatrixRows,
        pub(crate) rows: Extent,
        pub(crate) k: u32,
        pub(crate) n: u32,
        pub(crate) w: In,
        pub(crate) bias: Option<In>,
        pub(crate) residual: Option<MatrixRows>,
        /// The residual is what `y` holds.
        pub(crate) accumulate: bool,
        pub(crate) activation: ActivationWords,
        pub(crate) y: Out,
    }
}

impl LinearRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        reach.holds::<f32>(&self.w, packed_len(self.k as usize, self.n as usize)?)?;
        self.fits_but_weights(reach)
    }

    pub(super) fn fits_but_weights(&self, reach: &Reach<'_>) -> Option<()> {
        let (k, n, rows) = (self.k as usize, self.n as usize, reach.extent(self.rows)?);
        reach.may_hold(&self.bias, DType::F32, n)?;
        reach.holds::<f32>(&self.y, count(&[rows, n])?)?;
        self.residual.as_ref().map_or(Some(()), |residual| residual.fits(reach, rows, n))?;
        self.x.fits(reach, rows, k)
    }
}

pub(crate) static LINEAR_F32: Kernel = kernel!(LinearF32, LinearRecord::fits, simd linear_f32);

fn linear_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<LinearRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let b = operands.read(In(record.w.0));
    if let Some(product) = product_of(record, &operands) {
        gemm_f32(s, GemmF32 { b, ..product });
    }
}

/// The product of a record, but for its weights. `None` without rows.
#[inline(always)]
pub(super) fn product_of<'s>(record: LinearRecord, operands: &Operands<'s>) -> Option<GemmF32<'s>> {
    let (m, k, n) = (operands.extent(record.rows), record.k as usize, record.n as usize);
    if m == 0 || n == 0 {
        return None;
    }
    let c = operands.write(record.y);
    let residual = record.residual.as_ref();
    if let Some(residual) = residual {
        let stride = operands.extent(residual.stride);
        let from = &operands.read::<f32>(In(residual.memory.0))[operands.extent(residual.offset)..];
        for (i, row) in c.chunks_exact_mut(n).take(m).enumerate() {
            row.copy_from_slice(&from[i * stride..][..n]);
        }
    }
    Some(GemmF32 {
        m,
        n,
        k,
        a_row_stride: operands.extent(record.x.stride),
        a: &operands.read(record.x.memory)[operands.extent(record.x.offset)..],
        b: &[],
        b_k_stride: PANEL,
        b_panel_stride: PANEL * k,
        bias: record.bias.map_or(Bias::None, |bias| Bias::PerCol(operands.read(bias))),
        activation: record.activation.activation(),
        accumulate: record.accumulate || residual.is_some(),
        c,
        c_row_stride: n,
    })
}

crate::record! {
    /// A [`LinearRecord`] whose `w` is bf16, in pairs.
    pub(crate) struct LinearBf16Record {
        pub(crate) linear: LinearRecord,
        /// Room for rounded rows of `x`, where there may be as many as are rounded.
        pub(crate) rounded: Option<Scratch>,
    }
}

impl LinearBf16Record {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (k, n) = (self.linear.k as usize, self.linear.n as usize);
        let rows = reach.extent(self.linear.rows)?;
        reach.holds::<u32>(&self.linear.w, packed_pairs_len(k, n)?)?;
        let len = rounded_len(rows, k)?;
        match &self.rounded {
            Some(rounded) => reach.holds::<u32>(rounded, len)?,
            None => require(len == 0)?,
        }
        self.linear.fits_but_weights(reach)
    }
}

/// The rows of a step that is a product in bf16.
pub(crate) fn rows_in_bf16(kernel: u32, words: &[u32]) -> Option<Extent> {
    let is_one = kernel == KernelId::LinearBf16 as u32;
    is_one.then(|| LinearBf16Record::take(&mut Words(words)).linear.rows)
}

pub(crate) static LINEAR_BF16: Kernel =
    kernel!(LinearBf16, LinearBf16Record::fits, simd linear_bf16);

fn linear_bf16<S: Simd>(step: Step<'_>) {
    let (LinearBf16Record { linear, rounded }, operands) = step.decode();
    let level = operands.level();
    let Some(s) = S::from_level(level) else { return };
    let b = operands.read(In(linear.w.0));
    if let Some(product) = product_of(linear, &operands) {
        let rounded = rounded.map_or(&mut [][..], |rounded| operands.scratch(rounded));
        gemm_bf16(s, level, GemmBf16 { product, b, rounded });
    }
}

crate::record! {
    /// A matrix written in panels of 16 columns: weights that are not constant.
    pub(crate) struct PackRecord {
        pub(crate) src: In,
        pub(crate) offset: Extent,
        pub(crate) k: u32,
        pub(crate) n: u32,
        pub(crate) row_stride: u32,
        pub(crate) col_stride: u32,
        pub(crate) out: Out,
    }
}

impl PackRecord {
    fn fits(&self, reach: &Reach<'_>) -> Option<()> {
        let (k, n) = (self.k as usize, self.n as usize);
        let src = reach.len::<f32>(&self.src)?;
        require(reach.extent(self.offset)? <= src)?;
        let axes = [(k, i64::from(self.row_stride)), (n, i64::from(self.col_stride))];
        reach.within(src, self.offset, (&[], &[]), &axes)?;
        reach.holds::<f32>(&self.out, packed_len(k, n)?)
    }
}

pub(crate) static PACK_F32: Kernel = kernel!(PackF32, PackRecord::fits, pack_f32);

fn pack_f32(step: Step<'_>) {
    let (record, operands) = step.decode::<PackRecord>();
    let src = &operands.read::<f32>(record.src)[operands.extent(record.offset)..];
    let (row, col) = (record.row_stride as usize, record.col_stride as usize);
    let out = operands.write(record.out);
    pack_panels_f32(src, record.k as usize, record.n as usize, row, col, out);
}

crate::record! {
    /// A matrix in memory: its first element and its strides.
    pub(crate) struct Matrix {
        pub(crate) memory: In,
        pub(crate) offset: Extent,
        pub(crate) row_stride: Extent,
        pub(crate) col_stride: Extent,
        /// Strides over the batch.
        pub(crate) batch: Extents,
    }
}

crate::record! {
    /// `c = alpha * a · b + beta * d` for each matrix of a batch; `c` is row-major.
    pub(crate) struct MatMulRecord {
        pub(crate) batch: Extents,
        pub(crate) m: Extent,
        pub(crate) n: Extent,
        pub(crate) k: Extent,
        pub(crate) a: Matrix,
        pub(crate) b: Matrix,
        pub(crate) c: Out,
        /// Room for `b` in panels, where its rows are not contiguous.
        pub(crate) panels: Option<Scratch>,
        pub(crate) alpha: f32,
        pub(crate) d: Option<Matrix>,
        pub(crate) beta: f32,
    }
}

impl Matrix {
    /// Whether it has elements `dtype` for `rows` by `cols` elements in all of the batch;
    /// `whole_rows` are contiguous, whatever it says.
    pub(super) fn fits(
        &self,
        reach: &Reach<'_>,
        dtype: DType,
        batch: &Extents,
        [rows, cols]: [usize; 2],
        whole_rows: bool,
    ) -> Option<()> {
        let (row, col) = (reach.stride(self.row_stride)?, reach.stride(self.col_stride)?);
        let axes = [(rows, row), (cols, if whole_rows { 1 } else { col })];
        let len = reach.len_as(&self.memory, dtype)?;
        reach.within(len, self.offset, (batch, &self.batch), &axes)
    }
}

impl MatMulRecord {
    fn fits(&self, reach: &Reach<'_>, dtype: DType) -> Option<()> {
        let (m, n, k) = (reach.extent(self.m)?, reach.extent(self.n)?, reach.extent(self.k)?);
        let (vector, batch) = (dtype == DType::F32, &self.batch);
        self.a.fits(reach, dtype, batch, [m, k], vector)?;
        self.b.fits(reach, dtype, batch, [k, n], vector && self.panels.is_none())?;
        if let Some(d) = &self.d {
            d.fits(reach, dtype, batch, [m, n], false)?;
        }
        reach.may_hold(&self.panels, DType::F32, packed_len(k, n)?)?;
        let len = count(&[reach.product(batch)?, m, n])?;
        reach.holds_as(&self.c, dtype, len)?;
        // Both operands may be broadcast along `k`, but not to more than either holds.
        let (a, b) = (reach.len_as(&self.a.memory, dtype)?, reach.len_as(&self.b.memory, dtype)?);
        require(k <= a.max(b) || len == 0)
    }

    fn fits_f32(&self, reach: &Reach<'_>) -> Option<()> {
        self.fits(reach, DType::F32)
    }

    fn fits_other(&self, reach: &Reach<'_>) -> Option<()> {
        let dtype = reach.dtype(&self.a.memory);
        let wide = matches!(dtype, DType::I32 | DType::I64 | DType::U32 | DType::U64);
        require(wide || dtype == DType::F64)?;
        self.fits(reach, dtype)
    }
}

/// The numbers of a product once extents are known.
pub(super) struct Product {
    batch: arrayvec::ArrayVec<usize, 8>,
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) a: Plain,
    pub(super) b: Plain,
    d: Option<Plain>,
}

pub(super) struct Plain {
    offset: isize,
    pub(super) row: usize,
    pub(super) col: usize,
    batch: arrayvec::ArrayVec<isize, 8>,
}

impl Product {
    fn of(record: &MatMulRecord, operands: &Operands<'_>) -> Self {
        let MatMulRecord { batch, m, n, k, a, b, d, .. } = record;
        Self::new(operands, batch, [*m, *n, *k], [a, b], d.as_ref())
    }

    pub(super) fn new(
        operands: &Operands<'_>,
        batch: &Extents,
        [m, n, k]: [Extent; 3],
        [a, b]: [&Matrix; 2],
        d: Option<&Matrix>,
    ) -> Self {
        let plain = |matrix: &Matrix| Plain {
            offset: operands.signed(matrix.offset),
            row: operands.extent(matrix.row_stride),
            col: operands.extent(matrix.col_stride),
            batch: operands.strides(&matrix.batch),
        };
        Self {
            batch: operands.extents(batch),
            m: operands.extent(m),
            n: operands.extent(n),
            k: operands.extent(k),
            a: plain(a),
            b: plain(b),
            d: d.map(plain),
        }
    }

    /// Calls `product(a, b, d, i)` with the place of each operand for the `i`-th matrix.
    pub(super) fn each(&self, mut product: impl FnMut(usize, usize, usize, usize)) {
        let axes = self.batch.len();
        let zeros = [0isize; 8];
        let d = self.d.as_ref();
        let d_strides = d.map_or(&zeros[..axes], |d| &d.batch[..]);
        let offsets = [self.a.offset, self.b.offset, d.map_or(0, |d| d.offset)];
        // MatrixRows of the walk run along the last axis of the batch: step through it by hand.
        let last = self.batch.last().copied().unwrap_or(1);
        let step = |strides: &[isize]| strides.last().copied().unwrap_or(0);
        let steps = [step(&self.a.batch), step(&self.b.batch), step(d_strides)];
        let mut i = 0;
        rows(&self.batch, [&self.a.batch, &self.b.batch, d_strides], offsets, |at| {
            for j in 0..last as isize {
                // Without elements to read, strides are any numbers.
                let place = |o: usize| at[o].wrapping_add(j.wrapping_mul(steps[o])) as usize;
                product(place(0), place(1), place(2), i);
                i += 1;
            }
        });
    }
}

pub(crate) static MATMUL_F32: Kernel = kernel!(MatMulF32, MatMulRecord::fits_f32, simd matmul_f32);

fn matmul_f32<S: Simd>(step: Step<'_>) {
    let (record, operands) = step.decode::<MatMulRecord>();
    let Some(s) = S::from_level(operands.level()) else { return };
    let product = Product::of(&record, &operands);
    let (m, n, k) = (product.m, product.n, product.k);
    if m == 0 || n == 0 {
        return;
    }
    let (a, b) = (operands.read::<f32>(record.a.memory), operands.read::<f32>(record.b.memory));
    let d = record.d.map(|d| operands.read::<f32>(d.memory));
    let c = operands.write::<f32>(record.c);
    let mut panels = record.panels.map(|p| operands.scratch::<f32>(p));
    let mut packed = None;
    product.each(|at_a, at_b, at_d, i| {
        let (a, b) = if k == 0 { (&[][..], &[][..]) } else { (&a[at_a..], &b[at_b..]) };
        let (b, b_k_stride, b_panel_stride) = match &mut panels {
            None => (b, product.b.row, PANEL),
            Some(panels) => {
                // Heads that share keys are packed once.
                if packed != Some(at_b) {
                    pack_panels_f32(b, k, n, product.b.row, product.b.col, panels);
                    packed = Some(at_b);
                }
                (&**panels, PANEL, PANEL * k)
            }
        };
        let c = &mut c[i * m * n..][..m * n];
        let gemm = GemmF32 {
            m,
            n,
            k,
            a_row_stride: product.a.row,
            a,
            b,
            b_k_stride,
            b_panel_stride,
            bias: Bias::None,
            activation: Activation::None,
            accumulate: false,
            c: &mut *c,
            c_row_stride: n,
        };
        gemm_f32(s, gemm);
        if record.alpha != 1.0 {
            c.iter_mut().for_each(|x| *x *= record.alpha);
        }
        if let (Some(d), Some(plain)) = (d, &product.d) {
            for (row, c) in c.chunks_exact_mut(n).enumerate() {
                for (col, c) in c.iter_mut().enumerate() {
                    *c += record.beta * d[at_d + row * plain.row + col * plain.col];
                }
            }
        }
    });
}

pub(crate) static MATMUL: Kernel = kernel!(MatMul, MatMulRecord::fits_other, matmul);

fn matmul(step: Step<'_>) {
    let (record, operands) = step.decode::<MatMulRecord>();
    match operands.dtype_in(&record.a.memory) {
        DType::F64 => matmul_of::<f64>(record, &operands),
        DType::I32 => matmul_of::<i32>(record, &operands),
        DType::I64 => matmul_of::<i64>(record, &operands),
        DType::U32 => matmul_of::<u32>(record, &operands),
        _ => matmul_of::<u64>(record, &operands),
    }
}

fn matmul_of<T: Arithmetic + Number>(record: MatMulRecord, operands: &Operands<'_>) {
    let product = Product::of(&record, operands);
    let (m, n, k) = (product.m, product.n, product.k);
    if m == 0 || n == 0 {
        return;
    }
    let (a, b) = (operands.read::<T>(record.a.memory), operands.read::<T>(record.b.memory));
    let d = record.d.map(|d| operands.read::<T>(d.memory));
    let c = operands.write::<T>(record.c);
    let (alpha, beta) = (f64::from(record.alpha), f64::from(record.beta));
    product.each(|at_a, at_b, at_d, i| {
        let c = &mut c[i * m * n..][..m * n];
        gemm_scalar(GemmScalar {
            m,
            n,
            k,
            a: if k == 0 { &[] } else { &a[at_a..] },
            a_strides: [product.a.row, product.a.col],
            b: if k == 0 { &[] } else { &b[at_b..] },
            b_strides: [product.b.row, product.b.col],
            accumulate: false,
            c: &mut *c,
            c_row_stride: n,
        });
        if alpha != 1.0 {
            c.iter_mut().for_each(|x| *x = T::from_f64(x.to_f64() * alpha));
        }
        if let (Some(d), Some(plain)) = (d, &product.d) {
            for (row, c) in c.chunks_exact_mut(n).enumerate() {
                for (col, c) in c.iter_mut().enumerate() {
                    let addend = d[at_d + row * plain.row + col * plain.col].to_f64();
                    *c = T::from_f64(c.to_f64() + beta * addend);
                }
            }
        }
    });
}
