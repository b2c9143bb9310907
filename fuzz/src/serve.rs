//! Every call that serves a program, in an order in which they meet.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use nowcast::kernels::Level;
use nowcast::runtime::{Program, Session};

use crate::choices::Choices;

/// Sessions that take more are not made: what a run costs follows from the program, not from the
/// length of its file, and a window over every element of this much takes seconds.
pub const MOST_BYTES: usize = 256 << 10;

/// Who vouches for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The compiler: no extent within its bounds may panic.
    Compiled,
    /// Words from outside, which were checked at the least and at the largest extents: a panic at
    /// others is contained, a read or write outside is not.
    Words,
}

/// Asks everything of a program and runs it, at extents that `choices` decide among others.
pub fn serve(program: &Program<'_>, origin: Origin, choices: &mut Choices<'_>) {
    let text = format!("{program:?} {:?}", program.memory());
    std::hint::black_box(text);
    for step in program.steps() {
        std::hint::black_box(step);
    }
    for (i, port) in program.inputs().chain(program.outputs()).enumerate() {
        std::hint::black_box((i, port.is_state(), port.max_bytes()));
        std::hint::black_box(program.input_index(port.name));
    }
    if program.memory().session_bytes > MOST_BYTES {
        return;
    }
    let level = if choices.one_in(2) { Level::scalar() } else { Level::detect() };
    let Ok(mut session) = Session::new_at(program, level) else { return };
    let fill = choices.byte();
    for i in 0..program.inputs().len() {
        if let Ok(bytes) = session.input_bytes_mut(i) {
            bytes.fill(fill);
        }
    }
    // The least extents, then the largest.
    let _ = session.run();
    look(&session);
    session.reset();
    for port in program.inputs() {
        for axis in 0..port.rank() {
            if let Some((name, _, max)) = port.variable(axis) {
                session.set_extent(name, max).expect("its own bound");
            }
        }
    }
    let _ = session.run();
    look(&session);
    contained(origin, || between(&mut session, choices));
}

/// Extents that bytes choose, states that grow, snapshots, whole and damaged.
fn between(session: &mut Session<'_>, choices: &mut Choices<'_>) {
    let program = session.program();
    let mut snapshot = vec![0; session.snapshot_bytes()];
    session.reset();
    for _ in 0..1 + choices.below(3) {
        for (i, port) in program.inputs().enumerate() {
            let mut shape = [0; 16];
            let rank = port.rank().min(16);
            for (axis, extent) in shape.iter_mut().enumerate().take(rank) {
                *extent = match (port.fixed_extent(axis), port.variable(axis)) {
                    (Some(fixed), _) => fixed,
                    (_, Some((_, min, max))) => {
                        min + choices.byte() as usize % (max - min).saturating_add(1).max(1)
                    }
                    _ => choices.byte() as usize,
                };
            }
            let _ = session.set_input_shape(i, &shape[..rank]);
        }
        let _ = session.run();
        look(session);
        let _ = session.snapshot(&mut snapshot);
        let _ = session.run();
        let _ = session.restore(&snapshot);
    }
    if !snapshot.is_empty() {
        for _ in 0..choices.below(8) {
            let at = choices.number() as usize % snapshot.len();
            snapshot[at] = choices.byte();
        }
        if session.restore(&snapshot).is_ok() {
            let _ = session.run();
            look(session);
        }
    }
    session.prefault();
    look(session);
}

/// Reads every output, in place and copied.
fn look(session: &Session<'_>) {
    for (i, port) in session.program().outputs().enumerate() {
        let shape = session.output_shape(i).expect("it is there");
        if let Ok(bytes) = session.output_bytes(i) {
            std::hint::black_box(bytes.iter().fold(0u8, |sum, byte| sum ^ byte));
        }
        let elements = shape.iter().try_fold(1usize, |n, extent| n.checked_mul(*extent));
        if port.dtype == nowcast::tensor::DType::F32
            && let Some(elements) = elements.filter(|n| *n <= MOST_BYTES / 4)
        {
            let mut copy = vec![0f32; elements];
            let _ = session.copy_output(i, &mut copy);
        }
    }
}

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body`; what it panics with ends it only, if the program is only words.
fn contained(origin: Origin, body: impl FnOnce()) {
    if origin == Origin::Compiled {
        return body();
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let abort = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CONTAINED.get() {
                abort(info);
            }
        }));
    });
    CONTAINED.set(true);
    // A panic that is contained is an answer.
    let _ = panic::catch_unwind(AssertUnwindSafe(body));
    CONTAINED.set(false);
}
