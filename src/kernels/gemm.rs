//! Matrix products over packed panels of 16 columns.
//!
//! Owns [`gemm_f32`], its arguments and its epilogue, and [`gemm_scalar`] for the types without
//! packed weights. The tile in registers is in `gemm/tile.rs`. Products of `f32` promise a
//! tolerance, not bits: the order of the sum depends on the instruction set and on the shape.

use super::simd::Simd;

pub mod bf16;
mod generic;
pub mod int8;
pub mod narrow;
pub(in crate::kernels) mod tile;

pub use super::activation::Activation;
pub use generic::{Arithmetic, GemmScalar, gemm_scalar};

/// Columns in a panel of `B`: one AVX-512 register, two of AVX2, four of NEON.
pub const PANEL: usize = 16;

/// What is added to every element of a product before the activation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Bias<'a> {
    /// Nothing.
    #[default]
    None,
    /// `bias[j]` in column `j`: `n` elements.
    PerCol(&'a [f32]),
    /// `bias[i]` in row `i`: `m` elements.
    PerRow(&'a [f32]),
}

/// `C = activation(A B + bias)`, or `activation(C + A B + bias)`; `A` is `m` by `k`, `B` is `k`
/// by `n`.
///
/// Element `(p, j)` of `B` is `b[(j / 16) * b_panel_stride + p * b_k_stride + j % 16]`. That is
/// - packed panels with `b_k_stride` 16 and `b_panel_stride` 16 k, the last one zero-padded (see
///   [`pack_panels_f32`](super::pack::pack_panels_f32)), and
/// - a row-major matrix in place with `b_k_stride` its row stride and `b_panel_stride` 16.
#[derive(Debug)]
pub struct GemmF32<'a> {
    /// Rows of `A` and `C`.
    pub m: usize,
    /// Columns of `B` and `C`.
    pub n: usize,
    /// Columns of `A`, rows of `B`. With zero, the product is zero.
    pub k: usize,
    /// Elements from a row of `A` to the next.
    pub a_row_stride: usize,
    /// `A`, each row contiguous.
    pub a: &'a [f32],
    /// `B`; nothing past its end is read.
    pub b: &'a [f32],
    /// Elements from a row of a panel to the next.
    pub b_k_stride: usize,
    /// Elements from a panel to the next.
    pub b_panel_stride: usize,
    /// What is added to the product.
    pub bias: Bias<'a>,
    /// What is applied to the sum.
    pub activation: Activation,
    /// Whether `C` is added to the product rather than overwritten.
    pub accumulate: bool,
    /// `C`, each row contiguous. Elements between rows are left alone.
    pub c: &'a mut [f32],
    /// Elements from a row of `C` to the next, at least `n`.
    pub c_row_stride: usize,
}

/// Computes a [`GemmF32`].
///
/// **Shapes and units**: as the struct says; `m`, `n` or `k` may be zero.
///
/// **Panics**: if a slice is too short for its shape and strides, or rows of `C` overlap.
///
/// **Cost**: `m n k` multiply-adds, no allocation. Each panel of `B` is read once for every
/// twelve rows (AVX-512; six elsewhere), once in all for one row.
pub fn gemm_f32<S: Simd>(s: S, mut gemm: GemmF32<'_>) {
    let GemmF32 { n, k, .. } = gemm;
    if !begin(&gemm) {
        return;
    }
    if k > 0 {
        let last_panel = (n - 1) / PANEL;
        let last_row = extent(k, gemm.b_k_stride, n - last_panel * PANEL);
        assert!(gemm.b.len() >= last_panel * gemm.b_panel_stride + last_row, "B is too short");
    }
    tile::run(s, &mut gemm);
}

/// Elements from the first to the last of a matrix with contiguous rows.
fn extent(rows: usize, stride: usize, cols: usize) -> usize {
    (rows - 1) * stride + cols
}

/// Checks all slices but `b`; whether there is something to compute.
fn begin(gemm: &GemmF32<'_>) -> bool {
    let &GemmF32 { m, n, k, .. } = gemm;
    if m == 0 || n == 0 {
        return false;
    }
    assert!(gemm.c_row_stride >= n || m == 1, "rows of C overlap");
    assert!(gemm.c.len() >= extent(m, gemm.c_row_stride, n), "C is too short");
    assert!(k == 0 || gemm.a.len() >= extent(m, gemm.a_row_stride, k), "A is too short");
    match gemm.bias {
        Bias::None => {}
        Bias::PerCol(bias) => assert!(bias.len() >= n, "the bias is too short"),
        Bias::PerRow(bias) => assert!(bias.len() >= m, "the bias is too short"),
    }
    true
}
