//! Tells a waiting person how far it is.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Nobody wonders before.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar on standard error that appears once work has taken a second, if that is a terminal.
pub(crate) struct Progress {
    what: &'static str,
    len: u64,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Work of `len` parts begins.
    pub(crate) fn new(what: &'static str, len: u64) -> Self {
        Self { what, len, started: Instant::now(), bar: None }
    }

    /// `done` parts of it are done.
    pub(crate) fn set(&mut self, done: u64) {
        if self.bar.is_none() && self.started.elapsed() > PATIENCE {
            let style = ProgressStyle::with_template("{msg} {bar:30} {percent:>3} %, {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(self.len).with_style(style).with_message(self.what);
            self.bar = Some(bar.with_elapsed(self.started.elapsed()));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
