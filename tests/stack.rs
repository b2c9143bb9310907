//! A run stays within the stack that [`Program::memory`] states, on every model.

mod adapter;

use nowcast::runtime::MemoryNeeds;

/// What a thread's start and the harness around a run take.
const AROUND: usize = 32 * 1024;

#[test]
fn a_run_stays_within_the_stated_stack() {
    for what in adapter::served() {
        let mut outcome = Ok(());
        // Set-up takes what it likes; the runs themselves go to a thread of their own, which the
        // guard page ends if they need more than is stated.
        let checked = adapter::with_serving(&what, false, &mut |serve| {
            let mut serve = SendRun(serve);
            let stack = MemoryNeeds::STACK_BYTES + AROUND;
            std::thread::scope(|scope| {
                let thread = std::thread::Builder::new().stack_size(stack);
                outcome = thread
                    .spawn_scoped(scope, move || serve.call())
                    .map_err(|error| error.to_string())
                    .and_then(|thread| thread.join().map_err(|_| "panicked".to_owned()));
            });
        });
        assert!(checked.is_ok(), "{what}: {checked:?}");
        assert_eq!(outcome, Ok(()), "{what}");
    }
}

/// The serving call, on loan to another thread for as long as the scope lasts.
struct SendRun<'a>(&'a mut dyn FnMut());

// SAFETY: sessions are `Send`, and the thread that owns the call waits for this one.
#[allow(unsafe_code, reason = "the adapter's closures do not name `Send`")]
unsafe impl Send for SendRun<'_> {}

impl SendRun<'_> {
    fn call(&mut self) {
        (self.0)();
    }
}
