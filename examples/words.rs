//! The generator's words on standard output, little-endian, without end: what a battery of tests of
//! randomness reads. `cargo xtask battery` runs it; `words ORDER [--reverse] [--seed N]` runs alone.
//!
//! Orders: `path`, one path; `starts`, the first word of each path; `rows`, 20 words of each path, as
//! 20-dimensional draws take them; `columns`, the same for 1,000 paths at a time, word by word;
//! `streams` and `seeds`, as `columns` over streams and over seeds; `seconds`, the words of one path,
//! each followed by the second word that goes with it.
//!
//! When the reader goes away it says on standard error how many words it wrote.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use nowcast::sampling::{PathAddress, PathWords, philox4x32_10};

/// Words that a path gives in turn.
const DIM: usize = 20;
/// Paths, streams or seeds that take turns.
const ABREAST: u64 = 1000;

/// Words in an order that does not end. Whoever takes one and nobody reads on stops it.
type Take<'a> = &'a mut dyn FnMut(u32) -> bool;

fn words(order: &str, seed: u64, take: Take<'_>) -> Result<(), String> {
    let home = PathAddress { seed, stream: 0, path: 0 };
    let columns = |take: Take<'_>, address: &dyn Fn(u64) -> PathAddress| {
        for block in 0.. {
            let numbers = block * ABREAST..(block + 1) * ABREAST;
            let mut paths: Vec<_> = numbers.map(|n| PathWords::new(address(n))).collect();
            for _ in 0..DIM {
                if !paths.iter_mut().all(|path| take(path.next_word())) {
                    return;
                }
            }
        }
    };
    match order {
        "path" => {
            let mut path = PathWords::new(home);
            while take(path.next_word()) {}
        }
        "starts" => {
            let first = |path| PathWords::new(PathAddress { path, ..home }).next_word();
            let _ = (0..).all(|path| take(first(path)));
        }
        "rows" => {
            let row = |path| PathWords::new(PathAddress { path, ..home });
            let _ = (0..).map(row).all(|mut row| (0..DIM).all(|_| take(row.next_word())));
        }
        "columns" => columns(take, &|path| PathAddress { path, ..home }),
        "streams" => columns(take, &|stream| PathAddress { stream, ..home }),
        "seeds" => columns(take, &|n| PathAddress { seed: (seed << 32) + n, ..home }),
        "seconds" => {
            let (mut path, mut state) = (PathWords::new(home), State::new(home));
            loop {
                let word = path.next_word();
                assert_eq!(word, state.next_word(), "the documented generator is another one");
                if !take(word) || !take(state.second()) {
                    break;
                }
            }
        }
        other => return Err(format!("there is no order {other:?}")),
    }
    Ok(())
}

/// The generator as the documentation of `nowcast::sampling` defines it, with the second words that
/// draws use and the library does not give out.
struct State([u32; 4]);

impl State {
    fn new(address: PathAddress) -> Self {
        let halves = |x: u64| [x as u32, (x >> 32) as u32];
        let ([p, q], [r, s]) = (halves(address.path), halves(address.stream));
        let state = philox4x32_10([p, q, r, s], halves(address.seed));
        Self(if state == [0; 4] { [0, 0, 0, 1] } else { state })
    }

    fn next_word(&mut self) -> u32 {
        let [a, b, c, d] = &mut self.0;
        let word = a.wrapping_add(*d).rotate_left(7).wrapping_add(*a);
        let shifted = *b << 9;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(11);
        word
    }

    fn second(&self) -> u32 {
        let mut h = self.0[1] ^ self.0[2].rotate_left(16);
        h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
        h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
        h ^ h >> 16
    }
}

fn run() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let order = arguments.next().ok_or("words ORDER [--reverse] [--seed N]")?;
    let (mut reverse, mut seed) = (false, 1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--reverse" => reverse = true,
            "--seed" => {
                let number = arguments.next().and_then(|number| number.parse().ok());
                seed = number.ok_or("--seed takes a number")?;
            }
            other => return Err(format!("there is no option {other:?}")),
        }
    }

    let mut out = std::io::stdout().lock();
    let mut buffer = Vec::with_capacity(1 << 16);
    let (mut written, mut end) = (0u64, None);
    words(&order, seed, &mut |word| {
        let word = if reverse { word.reverse_bits() } else { word };
        buffer.extend_from_slice(&word.to_le_bytes());
        if buffer.len() == buffer.capacity() {
            end = out.write_all(&buffer).err();
            written += buffer.len() as u64 / 4;
            buffer.clear();
        }
        end.is_none()
    })?;
    eprintln!("{written} words");
    match end {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}
