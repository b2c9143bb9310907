//! Samples of two- and three-dimensional pictures at normalised positions.

use crate::kernels::number::{Number, codes};

codes! {
    /// How a sample is made of the elements around it. The numbers are pinned.
    GridMode { Nearest = 0, Linear = 1, Cubic = 2, }
}

codes! {
    /// What lies outside a picture. The numbers are pinned.
    GridPadding { Zeros = 0, Border = 1, Reflection = 2, }
}

/// How pictures are sampled.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// What a sample is made of.
    pub mode: GridMode,
    /// What lies outside.
    pub padding: GridPadding,
    /// Whether the ends of the range from -1 to 1 are the centers of the outermost elements, or
    /// their outer edges.
    pub align_corners: bool,
}

/// Most elements of an axis that a sample is made of.
const TAPS: usize = 4;

/// The elements of one axis that a sample is made of (`None` for a zero outside) with weights.
#[derive(Clone, Copy)]
struct Taps {
    len: usize,
    taps: [(Option<usize>, f64); TAPS],
}

impl Taps {
    /// The only element of an axis that a picture does not have.
    const ONE: Self = Self { len: 1, taps: [(Some(0), 1.0); TAPS] };

    fn each(&self) -> impl Iterator<Item = (usize, f64)> + Clone {
        self.taps[..self.len].iter().filter_map(|(at, weight)| Some(((*at)?, *weight)))
    }
}

/// `x` reflected at the ends of a range until it is within.
fn reflect(x: f64, [low, high]: [f64; 2]) -> f64 {
    let range = high - low;
    if range <= 0.0 {
        return low;
    }
    let over = if x < low { low - x } else { x - high };
    if over <= 0.0 {
        return x;
    }
    let turns = libm::trunc(over / range);
    let rest = over - turns * range;
    let even = libm::fmod(turns, 2.0) == 0.0;
    if (x < low) == even { low + rest } else { high - rest }
}

impl Sampling {
    /// Where a normalised position lies along an axis of `n` elements; in the precision of the
    /// grid, since the nearest element depends on it.
    fn place<T: Number>(self, at: T, n: usize) -> f64 {
        if T::DTYPE == crate::tensor::DType::F32 {
            let (at, n) = (at.to_f32(), n as f32);
            let place = if self.align_corners {
                (at + 1.0) / 2.0 * (n - 1.0)
            } else {
                ((at + 1.0) * n - 1.0) / 2.0
            };
            return f64::from(place);
        }
        let (at, n) = (at.to_f64(), n as f64);
        if self.align_corners { (at + 1.0) / 2.0 * (n - 1.0) } else { ((at + 1.0) * n - 1.0) / 2.0 }
    }

    fn ends(self, n: usize) -> [f64; 2] {
        if self.align_corners { [0.0, n as f64 - 1.0] } else { [-0.5, n as f64 - 0.5] }
    }

    /// The element at a whole position.
    fn element(self, at: f64, n: usize) -> Option<usize> {
        let last = n as f64 - 1.0;
        let at = match self.padding {
            GridPadding::Zeros => at,
            GridPadding::Border => at.clamp(0.0, last),
            GridPadding::Reflection => libm::trunc(reflect(at, self.ends(n))).clamp(0.0, last),
        };
        (at >= 0.0 && at <= last).then_some(at as usize)
    }

    /// The elements around a normalised position along an axis of `n` elements.
    fn taps<T: Number>(self, at: T, n: usize) -> Taps {
        let mut at = self.place(at, n);
        if self.mode == GridMode::Nearest {
            at = libm::rint(at);
        }
        // A cubic sample outside is made of the elements that padding puts there, as PyTorch and
        // ONNX Runtime have it; the others move the position inside.
        match self.padding {
            _ if self.mode == GridMode::Cubic => {}
            GridPadding::Border => at = at.clamp(0.0, n as f64 - 1.0),
            GridPadding::Reflection => at = reflect(at, self.ends(n)),
            GridPadding::Zeros => {}
        }
        let mut taps = Taps { len: 0, taps: [(None, 0.0); TAPS] };
        let whole = libm::floor(at);
        let t = at - whole;
        let mut put = |shift: f64, weight: f64| {
            taps.taps[taps.len] = (self.element(whole + shift, n), weight);
            taps.len += 1;
        };
        match self.mode {
            GridMode::Nearest => put(0.0, 1.0),
            GridMode::Linear => {
                put(0.0, 1.0 - t);
                put(1.0, t);
            }
            GridMode::Cubic => {
                const A: f64 = -0.75;
                let near = |t: f64| ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
                let far = |t: f64| ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A;
                put(-1.0, far(t + 1.0));
                put(0.0, near(t));
                put(1.0, near(1.0 - t));
                put(2.0, far(2.0 - t));
            }
        }
        taps
    }
}

/// `y[b, c, p] = x[b, c, grid[b, p]]`: samples of every channel at each position.
///
/// **Shapes and units**: `x` is `[batch, channels, space..]`, with `space` depth, height and
/// width (a depth of one where `axes` is two), `grid` `[batch, points, axes]` with the last axis
/// of space first, from -1 to 1; `y` `[batch, channels, points]`. Without elements to sample,
/// zero.
///
/// **Panics**: if a slice is shorter than its shape, or `axes` neither two nor three.
pub fn grid_sample<T: Number>(
    sampling: Sampling,
    [batch, channels, points, axes]: [usize; 4],
    space: [usize; 3],
    x: &[T],
    grid: &[T],
    y: &mut [T],
) {
    let picture = space[0] * space[1] * space[2];
    let y = &mut y[..batch * channels * points];
    if picture == 0 || y.is_empty() {
        y.fill(T::default());
        return;
    }
    for b in 0..batch {
        for p in 0..points {
            let at = &grid[(b * points + p) * axes..][..axes];
            let mut taps = [Taps::ONE; 3];
            for (i, at) in at.iter().enumerate() {
                taps[2 - i] = sampling.taps(*at, space[2 - i]);
            }
            for c in 0..channels {
                let x = &x[(b * channels + c) * picture..][..picture];
                let mut sum = 0.0;
                for (d, wd) in taps[0].each() {
                    for (h, wh) in taps[1].each() {
                        let row = &x[(d * space[1] + h) * space[2]..][..space[2]];
                        let line: f64 = taps[2].each().map(|(w, ww)| ww * row[w].to_f64()).sum();
                        sum += wd * wh * line;
                    }
                }
                y[(b * channels + c) * points + p] = T::from_f64(sum);
            }
        }
    }
}
