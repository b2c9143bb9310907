//! Bundles: opened in place with kernels that may be missing, described, verified.

use core::ffi::{CStr, c_void};
use core::ptr::{null, null_mut};

use nowcast_fuzz::aligned::Aligned;
use nowcast_fuzz::choices::Choices;
use nowcast_fuzz::fixture;

use super::room;
use crate::header::*;
use crate::world::{Kind, World, checked, name, out, sized};

/// Calls `open` with kernels: mostly all of them.
fn with_kernels<T>(
    choices: &mut Choices<'_>,
    open: impl FnOnce(*const Kernels, &mut Choices<'_>) -> T,
) -> T {
    // SAFETY: the list belongs to the library.
    let all = unsafe { nowcast_kernels_all() };
    // SAFETY: as above.
    let mut few = unsafe { *all };
    // SAFETY: as above.
    let mut list = unsafe { core::slice::from_raw_parts(few.list, few.len as usize) }.to_vec();
    let way = choices.byte();
    match way {
        0..200 => return open(all, choices),
        200..220 => list.truncate(choices.below(list.len() + 1)),
        220..230 => list[choices.byte() as usize % 40] = null(),
        230..240 => few.struct_size = u32::from(way - 230),
        240..250 => list.clear(),
        _ => return open(null(), choices),
    }
    few.len = list.len() as u32;
    few.list = if way == 249 { null() } else { list.as_ptr() };
    // A program keeps its list: what opens with this one is ended before it goes.
    open(&raw const few, choices)
}

/// The bundle's bytes, some of them changed; whether they are as they were.
fn bundle(choices: &mut Choices<'_>) -> (Aligned, bool) {
    let mut bytes = fixture::BUNDLE.clone();
    let changes = choices.byte().saturating_sub(200) % 8;
    for _ in 0..changes {
        let at = choices.number() as usize % bytes.len();
        bytes[at] ^= choices.byte();
    }
    if choices.one_in(16) {
        bytes.truncate(choices.number() as usize % bytes.len());
    }
    let whole = bytes == *fixture::BUNDLE;
    (Aligned::copy(&bytes), whole)
}

/// Where the bundle lies and its bytes, as the caller says: mostly so, and never more than it has.
fn said(memory: &Aligned, choices: &mut Choices<'_>) -> (*const c_void, u64) {
    let len = memory.bytes().len() as u64;
    match choices.byte() {
        0..220 => (memory.pointer().cast(), len),
        220..230 => (memory.pointer().cast(), len.min(choices.hostile())),
        230..240 => (memory.pointer().wrapping_add(1).cast(), len.saturating_sub(1)),
        240..250 => (null(), len),
        _ => (memory.pointer().cast(), u64::MAX - u64::from(choices.byte())),
    }
}

pub(super) fn ask_bundle(choices: &mut Choices<'_>) {
    let (memory, whole) = bundle(choices);
    let (bundle, bytes) = said(&memory, choices);
    // SAFETY: the bundle has as many bytes, or more are named than memory has.
    unsafe {
        match choices.below(3) {
            0 => sized(choices, BUNDLE_INFO_BYTES, |to, choices| {
                checked(choices, |e| nowcast_bundle_describe(bundle, bytes, to, e))
            }),
            1 => {
                let index = choices.hostile() as u32;
                let name = out(choices, |to, choices| {
                    checked(choices, |e| nowcast_bundle_model_name(bundle, bytes, index, to, e))
                });
                if let Some(name) = name {
                    assert!(!CStr::from_ptr(name).is_empty());
                }
            }
            _ => {
                let status = checked(choices, |e| nowcast_bundle_verify(bundle, bytes, e));
                assert!(whole || status != OK, "damage that nobody sees");
            }
        }
    }
}

pub(super) fn open_bundle(world: &mut World, choices: &mut Choices<'_>) {
    let wants_program = !choices.one_in(3);
    let kind = if wants_program { Kind::Program } else { Kind::Forecaster };
    let model = match choices.byte() {
        0..200 if wants_program => c"cache".as_ptr(),
        0..200 => c"one".as_ptr(),
        _ => name(choices),
    };
    if choices.one_in(32) {
        with_kernels(choices, |kernels, choices| {
            let made = out::<*mut c_void>(choices, |to, choices| {
                // SAFETY: the texts are static; there is no such file.
                checked(choices, |e| unsafe {
                    match wants_program {
                        true => nowcast_program_map(model, model, kernels, to, e),
                        false => nowcast_forecaster_map(model, model, kernels, to, e),
                    }
                })
            });
            assert!(made.is_none(), "maps a file that is not there");
        });
        return;
    }
    let (bundle, whole) = bundle(choices);
    let (place, bytes) = said(&bundle, choices);
    let needed = if wants_program { PROGRAM_BYTES } else { FORECASTER_BYTES };
    let (memory, pointer, memory_bytes) = room(needed, choices);
    // SAFETY: the list belongs to the library.
    let all = unsafe { nowcast_kernels_all() };
    let (made, kept) = with_kernels(choices, |kernels, choices| {
        let made = out::<*mut c_void>(choices, |to, choices| {
            // SAFETY: bundle, kernels and memory are ours and as long as they say.
            checked(choices, |e| unsafe {
                let (p, n) = (pointer, memory_bytes);
                match wants_program {
                    true => nowcast_program_open(place, bytes, model, kernels, p, n, to, e),
                    false => nowcast_forecaster_open(place, bytes, model, kernels, p, n, to, e),
                }
            })
        });
        // A damaged program may panic when it runs: it is opened only. So is one whose kernels go.
        let kept = whole && kernels == all;
        if let (Some(object), false) = (made, kept) {
            // SAFETY: made above.
            let status = unsafe {
                match wants_program {
                    true => nowcast_program_release(object, null_mut()),
                    false => nowcast_forecaster_release(object, null_mut()),
                }
            };
            assert_eq!(status, OK);
        }
        (made, kept)
    });
    if let (Some(object), true) = (made, kept) {
        world.add(kind, object, null_mut(), Some(memory));
        world.live.last_mut().expect("added").bundle = Some(bundle);
    }
}
