//! Between tiles, where the lanes of a row are paths, and the memory of the caller.
//!
//! Owns [`Window`], which says where elements of paths lie there. Its invariant: what is read or
//! written has no more paths than a row of the tile has lanes.
//!
//! Where a path lies together, squares of paths and dimensions are transposed in registers. The
//! last square overlaps the one before, so that the dimensions need not be a multiple of its side;
//! paths that are left over go one by one, out of line: given AVX-512, the compiler would make
//! scatters and gathers of it, which are slower.

use super::real::Real;
use crate::kernels::{Simd, Vectorized};

/// How a draw lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[paths, dim]`.
    ByPath,
    /// `[dim, paths]`.
    ByDim,
}

/// Paths that are drawn, as they lie in the caller's memory.
#[derive(Debug)]
pub(super) struct Window<'a, T> {
    /// From the first element of the first path on.
    data: &'a mut [T],
    layout: Layout,
    dim: usize,
    /// Paths of the whole of which this is a part: the distance between dimensions of
    /// [`Layout::ByDim`].
    all: usize,
    paths: usize,
}

impl<'a, T: Real> Window<'a, T> {
    /// All of `out`, whose length `dim` divides.
    pub(super) fn new(out: &'a mut [T], dim: usize, layout: Layout) -> Self {
        let paths = out.len() / dim;
        // The same elements, and there is nothing to transpose.
        let layout = if dim == 1 { Layout::ByDim } else { layout };
        Self { data: out, layout, dim, all: paths, paths }
    }

    pub(super) fn paths(&self) -> usize {
        self.paths
    }

    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// `paths` of its paths, from `first` on.
    #[inline(always)]
    pub(super) fn part(&mut self, first: usize, paths: usize) -> Window<'_, T> {
        let Self { layout, dim, all, .. } = *self;
        let data = match layout {
            Layout::ByPath => &mut self.data[first * dim..][..paths * dim],
            Layout::ByDim => &mut self.data[first..],
        };
        Window { data, layout, dim, all, paths }
    }

    /// The elements of dimension `index` of all paths, where they lie together.
    pub(super) fn dimension(&mut self, index: usize) -> &mut [T] {
        debug_assert_eq!(self.layout, Layout::ByDim);
        &mut self.data[index * self.all..][..self.paths]
    }

    /// Exchanges two paths that lie together.
    pub(super) fn swap_paths(&mut self, a: usize, b: usize) {
        debug_assert_eq!(self.layout, Layout::ByPath);
        let (low, high) = (a.min(b), a.max(b));
        let (before, behind) = self.data.split_at_mut(high * self.dim);
        before[low * self.dim..][..self.dim].swap_with_slice(&mut behind[..self.dim]);
    }

    /// Writes a tile of `width` lanes from dimension `start` on.
    ///
    /// A call, as [`read`](Self::read) is: both are long, and called from several places.
    #[inline(always)]
    pub(super) fn write<S: Simd>(&mut self, s: S, tile: &[T], width: usize, start: usize) {
        s.vectorize(Write { window: self, tile, width, start });
    }

    #[inline(always)]
    fn write_inline<S: Simd>(&mut self, s: S, tile: &[T], width: usize, start: usize) {
        if self.layout == Layout::ByDim {
            for (row, from) in tile.chunks_exact(width).enumerate() {
                let to = &mut self.data[(start + row) * self.all..][..self.paths];
                if to.len() == width {
                    copy(s, from, to);
                } else {
                    to.copy_from_slice(&from[..to.len()]);
                }
            }
            return;
        }
        let (dims, dim, mut lane) = (tile.len() / width, self.dim, 0);
        let mut rest = &mut *self.data;
        while dims >= T::SIDE && rest.len() >= T::SIDE * dim {
            for row in squares::<T>(dims) {
                T::transpose(s, &tile[row * width + lane..], width, &mut rest[start + row..], dim);
            }
            rest = &mut rest[T::SIDE * dim..];
            lane += T::SIDE;
        }
        write_singly(tile, width, lane, rest, dim, start);
    }

    /// Reads what [`write`](Self::write) has written into as many rows as the tile has, which are
    /// no more than the dimensions from `start`.
    #[inline(always)]
    pub(super) fn read<S: Simd>(&self, s: S, tile: &mut [T], width: usize, start: usize) {
        s.vectorize(Read { window: self, tile, width, start });
    }

    #[inline(always)]
    fn read_inline<S: Simd>(&self, s: S, tile: &mut [T], width: usize, start: usize) {
        if self.layout == Layout::ByDim {
            for (row, to) in tile.chunks_exact_mut(width).enumerate() {
                let from = &self.data[(start + row) * self.all..][..self.paths];
                if from.len() == width {
                    copy(s, from, to);
                } else {
                    to[..from.len()].copy_from_slice(from);
                }
            }
            return;
        }
        let (dims, dim, mut lane) = (tile.len() / width, self.dim, 0);
        let mut rest = &*self.data;
        while dims >= T::SIDE && rest.len() >= T::SIDE * dim {
            for row in squares::<T>(dims) {
                T::transpose(s, &rest[start + row..], dim, &mut tile[row * width + lane..], width);
            }
            rest = &rest[T::SIDE * dim..];
            lane += T::SIDE;
        }
        read_singly(tile, width, lane, rest, dim, start);
    }
}

struct Write<'w, 'a, T> {
    window: &'w mut Window<'a, T>,
    tile: &'w [T],
    width: usize,
    start: usize,
}

impl<T: Real> Vectorized for Write<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.window.write_inline(s, self.tile, self.width, self.start);
    }
}

struct Read<'w, 'a, T> {
    window: &'w Window<'a, T>,
    tile: &'w mut [T],
    width: usize,
    start: usize,
}

impl<T: Real> Vectorized for Read<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.window.read_inline(s, self.tile, self.width, self.start);
    }
}

/// Where the squares of `dims` dimensions begin.
#[inline(always)]
fn squares<T: Real>(dims: usize) -> impl Iterator<Item = usize> {
    (0..dims.div_ceil(T::SIDE)).map(move |square| (square * T::SIDE).min(dims - T::SIDE))
}

/// Copies whole vectors.
#[inline(always)]
fn copy<S: Simd, T: Real>(s: S, from: &[T], to: &mut [T]) {
    for (from, to) in from.chunks_exact(S::LANES).zip(to.chunks_exact_mut(S::LANES)) {
        T::store(s, T::load(s, from), to);
    }
}

#[inline(never)]
fn write_singly<T: Real>(
    tile: &[T],
    width: usize,
    first: usize,
    out: &mut [T],
    dim: usize,
    start: usize,
) {
    for (path, lane) in out.chunks_exact_mut(dim).zip(first..) {
        for (element, row) in path[start..].iter_mut().zip(tile.chunks_exact(width)) {
            *element = row[lane];
        }
    }
}

#[inline(never)]
fn read_singly<T: Real>(
    tile: &mut [T],
    width: usize,
    first: usize,
    out: &[T],
    dim: usize,
    start: usize,
) {
    for (path, lane) in out.chunks_exact(dim).zip(first..) {
        for (element, row) in path[start..].iter().zip(tile.chunks_exact_mut(width)) {
            row[lane] = *element;
        }
    }
}
