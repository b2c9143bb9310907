//! The fastest run, for benches that take turns.

use super::timing::seconds;

/// The fastest of many runs, in seconds a call.
pub(crate) struct Best(pub(crate) f64);

impl Best {
    pub(crate) fn measure(&mut self, call: impl FnMut()) {
        self.0 = self.0.min(seconds(call));
    }
}
