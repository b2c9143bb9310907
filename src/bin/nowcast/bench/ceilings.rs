//! What this core can do at most, measured now: the rate of multiply-adds, and the bandwidth of
//! buffers of growing size.

use std::hint::black_box;
use std::time::Instant;

use nowcast::kernels::ceiling::{MultiplyAdds, Stream};
use nowcast::kernels::{Level, dispatch};
use serde::Serialize;

/// The smallest buffer that is measured, and the largest.
const LEAST_BYTES: usize = 16 << 10;
const MOST_BYTES: usize = 64 << 20;

#[derive(Serialize)]
pub(crate) struct Ceilings {
    pub(crate) multiply_adds_per_s: f64,
    /// Bandwidths of reading, the smallest buffer first.
    pub(crate) bandwidths: Vec<Bandwidth>,
}

#[derive(Clone, Copy, Serialize)]
pub(crate) struct Bandwidth {
    pub(crate) buffer_bytes: usize,
    pub(crate) bytes_per_s: f64,
}

/// The shortest of many calls, in seconds.
fn fastest(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 30;
    let time = |_| {
        let started = Instant::now();
        call();
        started.elapsed().as_secs_f64()
    };
    (0..CALLS).map(time).fold(f64::INFINITY, f64::min)
}

impl Ceilings {
    /// Measures up to a buffer of `footprint_bytes`; takes some milliseconds.
    pub(crate) fn measure(level: Level, footprint_bytes: usize) -> Self {
        let chains = MultiplyAdds { steps: 1000 };
        let count = dispatch(level, chains) as f64;
        let multiply_adds_per_s = count / fastest(|| _ = dispatch(level, chains));

        let most = footprint_bytes.next_power_of_two().clamp(LEAST_BYTES, MOST_BYTES);
        let buffer = vec![1.0f32; most / size_of::<f32>() + 16];
        // Vectors that cross cache lines would halve the bandwidth.
        let buffer = &buffer[buffer.as_ptr().align_offset(64)..];
        let sizes = (0..).map(|i| LEAST_BYTES << i).take_while(|bytes| *bytes <= most);
        let bandwidth = |buffer_bytes: usize| {
            let part = &buffer[..buffer_bytes / size_of::<f32>()];
            // A call as long as the clock needs, whatever the buffer.
            let passes = (1 << 20) / buffer_bytes + 1;
            let seconds = fastest(|| {
                (0..passes).for_each(|_| dispatch(level, Stream(black_box(part))));
            });
            Bandwidth { buffer_bytes, bytes_per_s: (passes * buffer_bytes) as f64 / seconds }
        };
        Self { multiply_adds_per_s, bandwidths: sizes.map(bandwidth).collect() }
    }

    /// Seconds to read `bytes` that were last touched `apart_bytes` of other memory ago.
    pub(crate) fn memory_s(&self, bytes: u64, apart_bytes: u64) -> f64 {
        let fits = |bandwidth: &&Bandwidth| bandwidth.buffer_bytes as u64 >= apart_bytes;
        let bandwidth = self.bandwidths.iter().find(fits).or(self.bandwidths.last());
        bandwidth.map_or(0.0, |bandwidth| bytes as f64 / bandwidth.bytes_per_s)
    }

    /// Seconds for this many multiply-adds.
    pub(crate) fn arithmetic_s(&self, multiply_adds: u64) -> f64 {
        multiply_adds as f64 / self.multiply_adds_per_s
    }

    pub(crate) fn text(&self) -> String {
        let bandwidth = |b: &Bandwidth| {
            let (size, unit) = match b.buffer_bytes {
                bytes if bytes < 1 << 20 => (bytes >> 10, "KB"),
                bytes => (bytes >> 20, "MB"),
            };
            format!("{size} {unit} {:.0}", b.bytes_per_s / 1e9)
        };
        let bandwidths: Vec<String> = self.bandwidths.iter().map(bandwidth).collect();
        format!(
            "ceilings: {:.1} G multiply-adds/s; GB/s read from a buffer of {}\n",
            self.multiply_adds_per_s / 1e9,
            bandwidths.join(", ")
        )
    }
}
