//! The latest observations of a series.
//!
//! Owns [`Series`], a ring whose contents are always one piece. Its invariant: it holds finite
//! values only, evenly spaced in time. It knows nothing of models.

use core::fmt;

/// Why an observation or memory was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeriesError {
    /// The observation is NaN or infinite.
    NotFinite,
    /// The memory has no element, or an odd number of them.
    Memory {
        /// Elements given.
        len: usize,
    },
}

impl fmt::Display for SeriesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite => write!(f, "the observation is not a finite number"),
            Self::Memory { len } => {
                write!(f, "the memory has {len} elements, twice the context was expected")
            }
        }
    }
}

impl core::error::Error for SeriesError {}

enum Memory<'m> {
    Borrowed(&'m mut [f32]),
    #[cfg(feature = "std")]
    Owned(Vec<f32>),
}

/// The latest observations of a series, oldest first, ready to forecast from.
///
/// Each value is kept twice, one context apart, so that the latest ones always lie side by side
/// and reading copies nothing. Observations are evenly spaced: what to put into a gap is for the
/// caller to say.
///
/// # Examples
/// ```
/// use nowcast::forecast::Series;
///
/// let mut memory = [0.0; 2 * 3];
/// let mut series = Series::in_memory(&mut memory, 3600, 1_388_448_000)?;
/// for value in [30.0, 31.0, 33.0, 36.0] {
///     series.push(value)?;
/// }
/// assert_eq!(series.context(), Some(&[31.0, 33.0, 36.0][..]));
/// assert_eq!(series.next_unix_seconds(), 1_388_448_000 + 4 * 3600);
/// # Ok::<(), nowcast::forecast::SeriesError>(())
/// ```
pub struct Series<'m> {
    memory: Memory<'m>,
    context: usize,
    /// Where the next value goes, below `context`.
    at: usize,
    len: usize,
    step_seconds: u32,
    next_unix_seconds: i64,
}

impl<'m> Series<'m> {
    /// An empty series of `context` observations in memory of its own.
    ///
    /// **Shapes and units**: `first_unix_seconds` is the time of the first observation.
    ///
    /// **Errors**: [`SeriesError::Memory`] if `context` is zero.
    ///
    /// **Cost**: one allocation.
    #[cfg(feature = "std")]
    pub fn new(
        context: usize,
        step_seconds: u32,
        first_unix_seconds: i64,
    ) -> Result<Self, SeriesError> {
        let memory = Memory::Owned(vec![0.0; context.saturating_mul(2)]);
        Self::assemble(memory, step_seconds, first_unix_seconds)
    }

    /// An empty series in the caller's memory.
    ///
    /// **Shapes and units**: `memory` has twice as many elements as the context;
    /// `first_unix_seconds` is the time of the first observation.
    ///
    /// **Errors**: [`SeriesError::Memory`].
    ///
    /// **Cost**: no allocation.
    pub fn in_memory(
        memory: &'m mut [f32],
        step_seconds: u32,
        first_unix_seconds: i64,
    ) -> Result<Self, SeriesError> {
        Self::assemble(Memory::Borrowed(memory), step_seconds, first_unix_seconds)
    }

    fn assemble(
        memory: Memory<'m>,
        step_seconds: u32,
        next_unix_seconds: i64,
    ) -> Result<Self, SeriesError> {
        let mut series =
            Self { memory, context: 0, at: 0, len: 0, step_seconds, next_unix_seconds };
        let len = series.elements_mut().len();
        if len == 0 || !len.is_multiple_of(2) {
            return Err(SeriesError::Memory { len });
        }
        series.context = len / 2;
        Ok(series)
    }

    fn elements(&self) -> &[f32] {
        match &self.memory {
            Memory::Borrowed(elements) => elements,
            #[cfg(feature = "std")]
            Memory::Owned(elements) => elements,
        }
    }

    fn elements_mut(&mut self) -> &mut [f32] {
        match &mut self.memory {
            Memory::Borrowed(elements) => elements,
            #[cfg(feature = "std")]
            Memory::Owned(elements) => elements,
        }
    }

    /// Adds the observation of the next step; the oldest goes when there are more than a context.
    ///
    /// **Errors**: [`SeriesError::NotFinite`]; neither values nor time have changed then.
    ///
    /// **Cost**: no allocation; two stores.
    pub fn push(&mut self, value: f32) -> Result<(), SeriesError> {
        if !value.is_finite() {
            return Err(SeriesError::NotFinite);
        }
        let (at, context) = (self.at, self.context);
        let elements = self.elements_mut();
        elements[at] = value;
        elements[at + context] = value;
        self.at = (at + 1) % context;
        self.len = (self.len + 1).min(context);
        self.next_unix_seconds =
            self.next_unix_seconds.saturating_add(i64::from(self.step_seconds));
        Ok(())
    }

    /// The observations there are, oldest first: at most a context.
    ///
    /// **Cost**: no allocation, no copy.
    pub fn observations(&self) -> &[f32] {
        let end = if self.at == 0 { 2 * self.context } else { self.at + self.context };
        &self.elements()[end - self.len..end]
    }

    /// The context, once there are as many observations as it takes.
    ///
    /// **Cost**: no allocation, no copy.
    pub fn context(&self) -> Option<&[f32]> {
        (self.len == self.context).then(|| self.observations())
    }

    /// The time of the observation that comes next: the first step of a forecast made now.
    pub fn next_unix_seconds(&self) -> i64 {
        self.next_unix_seconds
    }

    /// Forgets the observations, as after a gap: the next one has this time.
    pub fn restart(&mut self, next_unix_seconds: i64) {
        (self.at, self.len) = (0, 0);
        self.next_unix_seconds = next_unix_seconds;
    }
}

impl fmt::Debug for Series<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series")
            .field("context", &self.context)
            .field("observations_len", &self.len)
            .field("next_unix_seconds", &self.next_unix_seconds)
            .finish()
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_always_side_by_side() {
        for context in 1..6 {
            let mut series = Series::new(context, 60, 0).expect("a context");
            for n in 0..20usize {
                assert_eq!(series.next_unix_seconds(), 60 * n as i64);
                let first = n.saturating_sub(context);
                let expected: Vec<f32> = (first..n).map(|i| i as f32).collect();
                assert_eq!(series.observations(), expected);
                assert_eq!(series.context(), (n >= context).then_some(&expected[..]));
                series.push(n as f32).expect("finite");
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_refused_and_changes_nothing() {
        let mut series = Series::new(2, 60, 0).expect("a context");
        series.push(1.0).expect("finite");
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(series.push(value), Err(SeriesError::NotFinite));
        }
        assert_eq!((series.observations(), series.next_unix_seconds()), (&[1.0][..], 60));
        series.restart(600);
        assert_eq!((series.observations(), series.next_unix_seconds()), (&[][..], 600));
    }

    #[test]
    fn memory_is_twice_the_context() {
        assert!(matches!(Series::new(0, 60, 0), Err(SeriesError::Memory { len: 0 })));
        let refused = Series::in_memory(&mut [0.0; 5], 60, 0).err();
        assert_eq!(refused, Some(SeriesError::Memory { len: 5 }));
    }
}
