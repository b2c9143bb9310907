//! One call each, chosen by a byte.

mod bundles;
mod forecasts;
mod gaussians;
mod programs;
mod sessions;

use core::ffi::{CStr, c_void};
use core::ptr::null_mut;

use nowcast_fuzz::aligned::Aligned;
use nowcast_fuzz::choices::Choices;

use crate::header::*;
use crate::world::{Kind, World, checked};
use bundles::{ask_bundle, open_bundle};
use forecasts::{load_forecaster, open_forecast, use_forecast};
use gaussians::{make_gaussian, use_gaussian};
use programs::{ask_program, load, load_path};
use sessions::{elements, extents, open_session, run, state};

/// Objects of the caller's memory are made up to this size.
const MOST_BYTES: u64 = 1 << 20;

/// Makes what `which` names, bit by bit, all arguments right: zeros choose what is right.
pub(crate) fn begin(world: &mut World, which: u8) {
    let right = || Choices::new(&[]);
    if which & 1 != 0 {
        open_bundle(world, &mut right());
    }
    if which & 2 != 0 {
        open_session(world, &mut right());
    }
    if which & 4 != 0 {
        open_session(world, &mut right());
    }
    if which & 8 != 0 {
        make_gaussian(world, &mut right());
    }
    if which & 16 != 0 {
        // Six dimensions, of a full covariance.
        make_gaussian(world, &mut Choices::new(&[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
    }
    if which & 32 != 0 {
        open_bundle(world, &mut Choices::new(&[2]));
    }
    if which & 64 != 0 {
        open_forecast(world, &mut right());
    }
    if which & 128 != 0 {
        use_forecast(world, &mut right());
    }
}

pub(crate) fn step(world: &mut World, choices: &mut Choices<'_>) {
    match choices.byte() % 26 {
        0..3 => load(world, choices),
        3 => load_path(world, choices),
        4 | 5 => ask_program(world, choices),
        6..9 => open_session(world, choices),
        9 | 10 => extents(world, choices),
        11 | 12 => elements(world, choices),
        13 | 14 => run(world, choices),
        15 => state(world, choices),
        16 => make_gaussian(world, choices),
        17 => use_gaussian(world, choices),
        18 => load_forecaster(world, choices),
        19 => open_forecast(world, choices),
        20 | 21 => use_forecast(world, choices),
        22 => {
            let kinds =
                [Kind::Program, Kind::Session, Kind::Gaussian, Kind::Forecaster, Kind::Forecast];
            let kind = kinds[choices.below(5)];
            let handle = world.handle(kind, choices);
            world.close(kind, handle, choices);
        }
        23 => open_bundle(world, choices),
        24 => ask_bundle(choices),
        _ => names(choices),
    }
}

fn names(choices: &mut Choices<'_>) {
    let number = choices.hostile() as i32;
    // SAFETY: any number is allowed; texts are static and ended by NUL.
    unsafe {
        assert_eq!(nowcast_abi_version(), 1);
        for text in [
            nowcast_version(),
            nowcast_status_name(number),
            nowcast_dtype_name(number),
            nowcast_isa_name(number),
        ] {
            assert!(!CStr::from_ptr(text).is_empty());
        }
        assert!(nowcast_dtype_bytes(number) <= 8);
        assert_eq!(checked(choices, |e| nowcast_thread_prepare(e)), OK);
    }
}

fn isa(choices: &mut Choices<'_>) -> i32 {
    match choices.byte() {
        byte @ 0..240 => i32::from(byte % 5) - 1,
        _ => choices.hostile() as i32,
    }
}

/// Memory for an object, how many bytes of it are named, and whether that is what it needs.
fn room(needed: u64, choices: &mut Choices<'_>) -> (Aligned, *mut c_void, u64) {
    let bytes = match choices.byte() {
        _ if needed > MOST_BYTES => 4096,
        0..216 => needed,
        216..232 => needed + 64,
        byte => needed.saturating_sub(u64::from(byte - 231)),
    };
    let memory = Aligned::zeroed(bytes as usize);
    let pointer: *mut c_void = match choices.byte() {
        0..240 => memory.pointer().cast(),
        240..248 => return (Aligned::zeroed(64), null_mut(), bytes),
        byte => {
            let moved = u64::from(byte - 247).min(bytes);
            let pointer = memory.pointer().wrapping_add(moved as usize);
            return (memory, pointer.cast(), bytes - moved);
        }
    };
    (memory, pointer, bytes)
}

/// Numbers that a covariance may hold.
fn number(choices: &mut Choices<'_>) -> f64 {
    match choices.byte() {
        byte @ 0..200 => f64::from(byte) / 64.0,
        200..210 => -1.0,
        210..220 => f64::NAN,
        220..230 => f64::INFINITY,
        230..240 => 1e-320,
        240..248 => 1e300,
        _ => f64::from_bits(choices.number()),
    }
}

/// Memory for paths, or more paths than memory has.
fn paths(dim: u64, choices: &mut Choices<'_>) -> (Option<Aligned>, u64) {
    match choices.byte() {
        byte @ 0..224 => {
            let paths = u64::from(byte % 40);
            (Some(Aligned::zeroed((paths * dim * 4) as usize)), paths)
        }
        224..240 => (None, u64::from(choices.byte())),
        _ => (Some(Aligned::zeroed(64)), u64::MAX / u64::from(1 + choices.byte() % 2)),
    }
}
