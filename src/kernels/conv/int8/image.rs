//! Bytes with their channels side by side and padding around them.

use super::super::Window;

/// The positions that windows see, and bytes from one to the next for each axis: the input itself
/// where its channels lie side by side, windows do not leave it and nothing is read behind it, else
/// a copy in `room`. So many bytes `behind` the channels of a position are read, whatever they are.
pub(super) fn image<'a>(
    window: &Window,
    channels: usize,
    x: &'a [u8],
    strides: &[usize; 5],
    (padding, behind): (u8, usize),
    room: &'a mut [u8],
) -> (&'a [u8], [usize; 3]) {
    let [_, channel, d, h, w] = *strides;
    let beside = (channel == 1 || channels == 1) && (w == channels || window.kernel[2] == 1);
    if beside && window.stays_inside() {
        let last = [d, h, w].into_iter().zip(window.seen()).map(|(step, n)| (n - 1) * step);
        if behind == 0 || last.sum::<usize>() + channels + behind <= x.len() {
            return (x, [d, h, w]);
        }
    }
    let [_, rows, cols] = window.seen();
    let len = window.seen().iter().product::<usize>() * channels;
    let (start, end, first) = window.covered(2, 0, 1, cols);
    for (line, to) in room[..len].chunks_exact_mut((cols * channels).max(1)).enumerate() {
        let at = (window.element(0, line / rows, 1, 0), window.element(1, line % rows, 1, 0));
        let ((Some(id), Some(ih)), true) = (at, start < end) else {
            to.fill(padding);
            continue;
        };
        to[..start * channels].fill(padding);
        to[end * channels..].fill(padding);
        let from = &x[id * d + ih * h + first * w..];
        side_by_side(from, channels, [channel, w], &mut to[start * channels..end * channels]);
    }
    (room, [rows * cols * channels, cols * channels, channels])
}

/// Brings the channels of a row of positions side by side, from bytes that are so far apart.
fn side_by_side(from: &[u8], channels: usize, [channel, step]: [usize; 2], to: &mut [u8]) {
    if channels == 1 && step == 1 || channel == 1 && step == channels {
        return to.copy_from_slice(&from[..to.len()]);
    }
    if channel == 1 {
        for (i, to) in to.chunks_exact_mut(channels).enumerate() {
            to.copy_from_slice(&from[i * step..][..channels]);
        }
        return;
    }
    let positions = to.len() / channels;
    // Eight by eight where positions are neighbours, and one by one what is left.
    let (whole, blocks) = match step {
        1 => (positions / 8 * 8, channels / 8 * 8),
        _ => (0, 0),
    };
    for i in (0..whole).step_by(8) {
        for c in (0..blocks).step_by(8) {
            turn(&from[c * channel + i..], channel, &mut to[i * channels + c..], channels);
        }
    }
    for c in 0..channels {
        let done = if c < blocks { whole } else { 0 };
        for (i, to) in to.chunks_exact_mut(channels).enumerate().skip(done) {
            to[c] = from[c * channel + i * step];
        }
    }
}

/// Transposes eight by eight bytes.
fn turn(from: &[u8], from_stride: usize, to: &mut [u8], to_stride: usize) {
    let mut rows = [0u64; 8];
    for (j, row) in rows.iter_mut().enumerate() {
        let (bytes, _) = from[j * from_stride..].as_chunks::<8>();
        *row = u64::from_le_bytes(bytes[0]);
    }
    // Halves, quarters and bytes of rows change places with those of others.
    for (apart, bits, mask) in [
        (4, 32, 0x0000_0000_ffff_ffff),
        (2, 16, 0x0000_ffff_0000_ffff),
        (1, 8, 0x00ff_00ff_00ff_00ff),
    ] {
        for j in (0..8).filter(|j| j & apart == 0) {
            let swapped = (rows[j] >> bits ^ rows[j + apart]) & mask;
            rows[j + apart] ^= swapped;
            rows[j] ^= swapped << bits;
        }
    }
    for (i, row) in rows.iter().enumerate() {
        to[i * to_stride..][..8].copy_from_slice(&row.to_le_bytes());
    }
}
