//! Damages programs, and runs what is opened all the same: it must not panic, and it must end.
//!
//! Owns the damage and the calls that a session is put through. Which programs: the tests of the
//! compiler and of `load` bring theirs.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test may wait")]

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;
use std::{process, thread};

use bytemuck::Pod;

use crate::kernels::suite::Rng;
use crate::kernels::{Isa, Level};
use crate::tensor::Element;

use super::image::{ARENA, DIM_WORDS, DimOp, Image, STEP_WORDS, Section, number};
use super::record::Extent;
use super::steps::types::by_dtype;
use super::{KernelId, Program, RunError, Session, View, ViewMut};

/// Longest time for one damaged program. Honest ones take milliseconds.
const LIMIT: Duration = Duration::from_secs(60);

/// Damaged programs that ask for more are not run.
const LARGEST_BYTES: usize = 16 << 20;

/// Nor are those whose loops make more iterations.
const MOST_ITERATIONS: u64 = 1 << 8;

/// How many damaged programs there were, and how many of them were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) tried: usize,
    pub(crate) opened: usize,
}

#[cfg(feature = "onnx")]
impl Counts {
    pub(crate) fn add(&mut self, more: Self) {
        self.tried += more.tried;
        self.opened += more.opened;
    }
}

/// Damages a program `tries` times, each time otherwise, and runs what is opened.
pub(crate) fn damage(name: &str, program: &Program<'_>, seed: u64, tries: usize) -> Counts {
    let watch = watch();
    let mut counts = Counts::default();
    let mut rng = Rng::new(seed);
    for _ in 0..tries {
        let mut words = program.words().to_vec();
        change(&mut rng, &mut words);
        attempt(name, program, words, rng.next(), &watch, &mut counts);
    }
    counts
}

/// Changes every single word of a program's buffers and records, with `whole` of everything but its
/// constants, in each of several ways, and runs what is opened.
pub(crate) fn damage_each_word(name: &str, program: &Program<'_>, whole: bool) -> Counts {
    let watch = watch();
    let mut counts = Counts::default();
    let place = |section| program.image().place(section).expect("is checked");
    let places = match whole {
        true => {
            let constants = place(Section::Constants);
            [0..constants.start, constants.end..program.words().len()]
        }
        false => [place(Section::Buffers), place(Section::Records)],
    };
    for at in places.into_iter().flatten() {
        let old = program.words()[at];
        let flipped = (0..32).map(|bit| old ^ 1 << bit).filter(|_| whole);
        let near = [old.wrapping_add(1), old.wrapping_sub(1), old.wrapping_mul(2), old / 2];
        let far = [(1 << 30) - 1, 1 << 30, 1 << 31, 1 << 31 | 1, u32::MAX];
        for new in flipped.chain(0..12).chain(near).chain(far).filter(|new| *new != old) {
            let mut words = program.words().to_vec();
            words[at] = new;
            attempt(name, program, words, u64::from(new), &watch, &mut counts);
        }
    }
    counts
}

/// Ends the process when the present case, which it is told of, takes too long.
fn watch() -> Sender<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut case = String::new();
        loop {
            match receiver.recv_timeout(LIMIT) {
                Ok(next) => case = next,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if case.is_empty() => {}
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("{case} runs for more than {} s", LIMIT.as_secs());
                    process::abort();
                }
            }
        }
    });
    sender
}

fn attempt(
    name: &str,
    whole: &Program<'_>,
    words: Vec<u32>,
    seed: u64,
    watch: &Sender<String>,
    counts: &mut Counts,
) {
    let pairs = whole.words().iter().zip(&words).enumerate();
    let changed = pairs.filter(|(_, (a, b))| a != b);
    let changed = changed.map(|(i, (a, b))| format!("{} {a:#x}->{b:#x}", describe(whole, i)));
    let case = format!("{name}, words {}", changed.collect::<Vec<_>>().join(", "));
    watch.send(case.clone()).expect("the watch waits");
    counts.tried += 1;
    let opened = panic::catch_unwind(AssertUnwindSafe(|| Program::owned(&words)));
    let Ok(program) = opened.unwrap_or_else(|_| panic!("{case}: the check panics")) else {
        return;
    };
    counts.opened += 1;
    if !survives(&program, seed) {
        panic!("{case}: {}", culprit(&words, seed));
    }
}

fn survives(program: &Program<'_>, seed: u64) -> bool {
    // The check looks at the least and the largest extents. A program that measures extents runs
    // between them, where the bounds of slices are what holds: a panic, and no more.
    let sets = [KernelId::Measure, KernelId::EnterLoop, KernelId::SetExtent];
    let measures = program.steps().any(|step| sets.contains(&step.id));
    panic::catch_unwind(AssertUnwindSafe(|| exercise(program, seed))).is_ok() || measures
}

/// Where a word lies.
fn describe(program: &Program<'_>, at: usize) -> String {
    let image = program.image();
    for section in Section::ALL {
        let place = image.place(section).unwrap_or(0..0);
        if place.contains(&at) {
            let within = at - place.start;
            if !matches!(section, Section::Records) {
                return format!("{} {within}", section.name());
            }
            let mut steps = image.section(Section::Steps).chunks_exact(STEP_WORDS).enumerate();
            let step = steps.rfind(|(_, s)| s[1] as usize <= within);
            let kernels: Vec<_> = program.steps().map(|step| step.kernel).collect();
            let (i, first) = step.map_or((0, 0), |(i, s)| (i, s[1] as usize));
            return format!("{} {} of step {i} ({})", section.name(), within - first, kernels[i]);
        }
    }
    format!("header {at}")
}

/// The first step without which the program still runs.
fn culprit(words: &[u32], seed: u64) -> String {
    let len_at = 8 + 2 * Section::Steps as usize + 1;
    for steps in 0..=words[len_at] as usize / STEP_WORDS {
        let mut fewer = words.to_vec();
        fewer[len_at] = (steps * STEP_WORDS) as u32;
        let Ok(program) = Program::owned(&fewer) else { continue };
        if !survives(&program, seed) {
            let Some(last) = steps.checked_sub(1) else { return "not in a step".into() };
            let (kernel, record) = program.image().walk().last().expect("has steps");
            return format!("step {last}, kernel {kernel}, record {record:x?}");
        }
    }
    "only as a whole".into()
}

/// Changes a few words.
fn change(rng: &mut Rng, words: &mut [u32]) {
    let places = {
        let image = Image::checked_before(words);
        Section::ALL.map(|section| image.place(section).unwrap_or(0..0))
    };
    let dims = places[Section::Dims as usize].clone();
    for _ in 0..[1, 1, 2, 2, 3, 5][rng.below(6)] {
        // Records and buffers decide most.
        let place = match rng.below(16) {
            0..5 => places[Section::Records as usize].clone(),
            5..8 => places[Section::Buffers as usize].clone(),
            8 => 0..32,
            n => places[n % places.len()].clone(),
        };
        if place.is_empty() {
            continue;
        }
        let at = place.start + rng.below(place.len());
        let other = words[place.start + rng.below(place.len())];
        let old = words[at];
        words[at] = match rng.below(12) {
            0 => old ^ 1 << rng.below(32),
            1 => 0,
            2 => 1,
            3 => old.wrapping_add(1 + rng.below(3) as u32),
            4 => old.wrapping_sub(1 + rng.below(3) as u32),
            5 => old.wrapping_mul(2),
            6 => old / 2,
            7 => [u32::MAX, 1 << 31, (1 << 31) - 1, 1 << 30, (1 << 30) - 1][rng.below(5)],
            8 => Extent::TABLE | rng.below(dims.len() / DIM_WORDS + 1) as u32,
            9 => rng.below(64) as u32,
            10 => rng.next() as u32,
            _ => other,
        };
    }
    if rng.below(4) == 0 {
        // Room for what has become larger.
        words[3] = words[3].saturating_add(1 << 20);
    }
    if rng.below(2) == 0 {
        settle(&mut words[dims]);
    }
}

/// Makes the corners of a dimension table follow from its entries, as they must.
fn settle(dims: &mut [u32]) {
    let mut corners: [Vec<i64>; 2] = Default::default();
    for entry in dims.chunks_exact_mut(DIM_WORDS) {
        for (i, corner) in corners.iter_mut().enumerate() {
            let value = match DimOp::from_word(entry[0]) {
                None => 0,
                Some(DimOp::Constant) => number([entry[1], entry[2]]),
                Some(DimOp::Variable) => i64::from(entry[1 + i]),
                Some(DimOp::Measured) => i64::from(entry[1 + i] as i32),
                Some(op) => {
                    op.apply(Extent(entry[1]).value(corner), Extent(entry[2]).value(corner))
                }
            };
            corner.push(value);
            entry[4 + 2 * i] = value as u32;
            entry[5 + 2 * i] = (value >> 32) as u32;
        }
    }
}

/// Puts sessions of a program through all calls, at the least and at the largest extents.
fn exercise(program: &Program<'_>, seed: u64) {
    let iterations = super::check::iterations(&program.image()).expect("is checked");
    if program.memory().session_bytes > LARGEST_BYTES || iterations > MOST_ITERATIONS {
        return;
    }
    let _ = format!("{program:?} {:?} {:?}", program.inputs().next(), program.outputs().next());
    for level in [Level::detect().at_most(Isa::Scalar), Level::detect()] {
        for most in [false, true] {
            let mut rng = Rng::new(seed);
            let mut session = Session::new_at(program, level).expect("there is as much memory");
            let corner = corner(&mut session, most);
            session.restore(&corner).expect("extents are within bounds");
            fill(&mut session, &mut rng);
            allow(&session.run());
            look(&session);
            session.snapshot(&mut corner.clone()).ok();
            session.restore(&corner).expect("extents are within bounds");
            run_bound(&mut session, &mut rng);
            look(&session);
            session.restore(&corner).expect("extents are within bounds");
            session.prefault();
            session.reset();
            allow(&session.run());
        }
    }
}

/// Nothing has grown, and views are as long as they must be; but numbers that decide shapes may
/// be out of their range.
fn allow(run: &Result<(), RunError>) {
    assert!(matches!(run, Ok(()) | Err(RunError::OutOfRange { .. })), "{run:?}");
}

/// A snapshot with all variables at one end.
fn corner(session: &mut Session<'_>, most: bool) -> Vec<u8> {
    let image = session.program().image();
    let mut snapshot = vec![0; session.snapshot_bytes()];
    session.snapshot(&mut snapshot).expect("as long as it says");
    for (i, to) in snapshot.chunks_exact_mut(8).take(image.dims_len()).enumerate() {
        if let Some((min, max, name)) = image.variable(i) {
            to.copy_from_slice(&if most { max } else { min }.to_le_bytes());
            session.set_extent(name, if most { max } else { min } as usize).ok();
        }
    }
    snapshot
}

/// Bytes of numbers that mean something in most types, or of any.
fn noise(rng: &mut Rng, bytes: &mut [u8]) {
    let kind = rng.below(4);
    for chunk in bytes.chunks_mut(8) {
        let word = match kind {
            0 => rng.next(),
            1 => rng.below(8) as u64,
            2 => u64::from(rng.uniform(-2.0, 2.0).to_bits()) << 32 | 0x3f00_0000,
            _ => 0,
        };
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
}

fn fill(session: &mut Session<'_>, rng: &mut Rng) {
    let program = session.program();
    for (i, port) in program.inputs().enumerate() {
        let shape = session.input_shape(i).expect("there");
        session.set_input_shape(i, &shape).ok();
        let mut elements = vec![0u64; shape.iter().product()];
        noise(rng, bytemuck::cast_slice_mut(&mut elements));
        by_dtype!(port.dtype, copy_in(session, i, &elements));
        if let Ok(bytes) = session.input_bytes_mut(i) {
            noise(rng, bytes);
        }
        session.input_mut::<f32>(i).ok();
    }
}

fn copy_in<T: Element + Pod>(session: &mut Session<'_>, i: usize, elements: &[u64]) {
    let elements = &bytemuck::cast_slice::<u64, T>(elements)[..elements.len()];
    session.copy_input(i, elements).expect("as many as there are");
}

fn look(session: &Session<'_>) {
    for (i, port) in session.program().outputs().enumerate() {
        let shape = session.output_shape(i).expect("there");
        session.output_bytes(i).ok();
        session.output::<f32>(i).ok();
        by_dtype!(port.dtype, copy_out(session, i, shape.iter().product()));
    }
}

fn copy_out<T: Element + Pod>(session: &Session<'_>, i: usize, len: usize) {
    session.copy_output(i, &mut vec![T::default(); len]).expect("as many as there are");
}

/// Runs with every port that may be bound in memory of our own, no larger than it must be.
fn run_bound(session: &mut Session<'_>, rng: &mut Rng) {
    let (program, image) = (session.program(), session.program().image());
    let memory = |port: usize, shape: &[usize]| {
        let raw = image.port(port);
        (raw.home == ARENA && !raw.measured).then(|| vec![0u64; shape.iter().product()])
    };
    let mut inputs = Vec::new();
    for i in 0..image.inputs_len() {
        inputs.push(memory(i, &session.input_shape(i).expect("there")));
        inputs[i].iter_mut().for_each(|m| noise(rng, bytemuck::cast_slice_mut(m)));
    }
    let mut outputs = Vec::new();
    for i in 0..image.outputs_len() {
        let shape = session.output_shape(i).expect("there");
        outputs.push(memory(image.inputs_len() + i, &shape));
    }
    let mut views = Vec::new();
    for (i, port) in program.inputs().enumerate() {
        if let Some(memory) = &inputs[i] {
            views.push((i, by_dtype!(port.dtype, view(memory))));
        }
    }
    let mut views_mut = Vec::new();
    for (i, (port, memory)) in program.outputs().zip(&mut outputs).enumerate() {
        if let Some(memory) = memory {
            views_mut.push((i, by_dtype!(port.dtype, view_mut(memory))));
        }
    }
    allow(&session.run_with(&views, &mut views_mut));
}

fn view<T: Element + Pod>(memory: &[u64]) -> View<'_> {
    View::new(&bytemuck::cast_slice::<u64, T>(memory)[..memory.len()])
}

fn view_mut<T: Element + Pod>(memory: &mut [u64]) -> ViewMut<'_> {
    let len = memory.len();
    ViewMut::new(&mut bytemuck::cast_slice_mut::<u64, T>(memory)[..len])
}
