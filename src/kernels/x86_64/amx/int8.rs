//! Products of bytes on tiles: a row of a tile is 64 bytes of a row of `A`, read where it lies, or
//! a line of packed weights.

use super::{Amx, Configured, ROWS, Sources, Sums, TILE, signed_bytes, unsigned_bytes};
use crate::kernels::gemm::PANEL;
use crate::kernels::gemm::int8::GemmI8;
use crate::kernels::gemm::int8::finish::{Finish, distances};
use crate::kernels::int8::QUAD;
use crate::kernels::isa::Level;
use crate::kernels::simd::Simd;

/// Tiles of rows that are multiplied with all columns before the next.
const BLOCK: usize = 16;

/// Bytes of a row of a tile.
const DEPTH: usize = 64;

/// Computes a product by AMX-INT8.
///
/// Rows are cut into tiles of the same height; where that does not come out even, the last tile
/// begins earlier and computes some rows once more. Two tiles are multiplied with two panels at a
/// time.
///
/// **Panics**: if `level` does not prove it.
pub(in crate::kernels) fn gemm(level: Level, gemm: &mut GemmI8<'_>) {
    let Some(s) = Amx::from_level(level) else { panic!("no AMX at this level") };
    let tiles = gemm.m.div_ceil(ROWS);
    let height = gemm.m.div_ceil(tiles);
    // SAFETY: the token proves the permission.
    let mut registers = unsafe { Configured::new(height) };
    let panels = gemm.n.div_ceil(PANEL);
    for first in (0..tiles).step_by(BLOCK) {
        let tiles = (tiles - first).min(BLOCK);
        let mut rows = [0; BLOCK];
        let mut far = [[0; ROWS]; BLOCK];
        for i in 0..tiles {
            rows[i] = ((first + i) * height).min(gemm.m - height);
            far[i] = distances(s.0.avx512(), gemm, rows[i], height);
        }
        for panel in (0..panels).step_by(2) {
            let panels = (panels - panel).min(2);
            for tile in (0..tiles).step_by(2) {
                let mut sums = Sums([0; 4 * TILE]);
                let rows = &rows[tile..tiles.min(tile + 2)];
                multiply(&mut registers, gemm, rows, (panel, panels), &mut sums);
                let sums = sums.0.chunks(height * 2 * PANEL);
                for ((row, far), sums) in rows.iter().zip(&far[tile..]).zip(sums) {
                    s.0.avx512().vectorize(Finish {
                        gemm,
                        row: *row,
                        rows: height,
                        panel,
                        panels,
                        sums,
                        stride: 2 * PANEL,
                        shift: 0,
                        distances: far,
                    });
                }
            }
        }
    }
}

/// Multiplies one or two tiles, from these rows on, with one or two panels.
fn multiply(
    registers: &mut Configured,
    gemm: &GemmI8<'_>,
    rows: &[usize],
    (panel, panels): (usize, usize),
    sums: &mut Sums<i32>,
) {
    let (k, height, quads) = (gemm.k, registers.height, gemm.k.div_ceil(QUAD));
    let run = match gemm.a_grid.signed {
        true => signed_bytes(rows.len(), panels),
        false => unsigned_bytes(rows.len(), panels),
    };
    registers.clear();
    let (steps, rest) = (k / DEPTH, k % DEPTH);
    let [first, last] = [0, rows.len() - 1].map(|i| rows[i]);
    let [left, right] = [panel, panel + panels - 1].map(|j| gemm.panel(j));
    if steps > 0 {
        let stride = gemm.a_row_stride;
        // Everything that is read through a pointer below: `gemm.row` checks the last row.
        let [top, bottom] = [first, last].map(|row| {
            gemm.row(row + height - 1);
            gemm.row(row).as_ptr().cast()
        });
        let [left, right] = [left, right].map(|panel| panel[..steps * TILE].as_ptr());
        let sources = Sources { a: [top, bottom], b: [left, right], a_row_bytes: stride, steps };
        // SAFETY: tiles are configured, for whom the process has the permission. Each step reads 64
        // bytes of each row, which is longer, and 16 lines of each panel.
        unsafe { run(&sources) };
    }
    if rest > 0 {
        // The ends of rows and panels, and zeros in place of what lies behind them.
        let mut ends = [[[0u8; DEPTH]; ROWS]; 2];
        for (ends, row) in ends.iter_mut().zip(rows) {
            for (i, end) in ends.iter_mut().enumerate().take(height) {
                end[..rest].copy_from_slice(&gemm.row(row + i)[steps * DEPTH..]);
            }
        }
        let mut lines = [[0; TILE]; 2];
        for (lines, panel) in lines.iter_mut().zip([left, right]) {
            let end = &panel[steps * TILE..quads * PANEL];
            lines[..end.len()].copy_from_slice(end);
        }
        let sources = Sources {
            a: [0, 1].map(|i| ends[i].as_ptr().cast()),
            b: [0, 1].map(|j| lines[j].as_ptr()),
            a_row_bytes: DEPTH,
            steps: 1,
        };
        // SAFETY: as above; the copies are whole tiles.
        unsafe { run(&sources) };
    }
    registers.store(sums);
}
