//! Sessions: memory, extents, elements, runs, state.

use core::ffi::c_void;
use core::ptr::{null, null_mut};

use nowcast_fuzz::choices::Choices;

use super::{MOST_BYTES, isa, room};
use crate::header::*;
use crate::world::{Buffer, Kind, World, checked, name, out, sized};

pub(super) fn open_session(world: &mut World, choices: &mut Choices<'_>) {
    let program = world.handle(Kind::Program, choices);
    let mut needed = 0;
    // SAFETY: handles are live or refused; memory is as long as we say.
    unsafe {
        if nowcast_session_bytes(program, &raw mut needed, null_mut()) != OK {
            needed = 4096;
        }
        let isa = isa(choices);
        let (memory, pointer, bytes) = room(needed, choices);
        let made = out::<*mut c_void>(choices, |to, choices| {
            checked(choices, |e| nowcast_session_open(program, isa, pointer, bytes, to, e))
        });
        if let Some(session) = made {
            assert!(bytes >= needed && session == pointer);
            world.add(Kind::Session, session, program, Some(memory));
        }
    }
}

pub(super) fn extents(world: &World, choices: &mut Choices<'_>) {
    let session = world.handle(Kind::Session, choices);
    let index = choices.below(5) as u32;
    // SAFETY: handles are live or refused; arrays and structs are as long as they say.
    unsafe {
        match choices.below(5) {
            0 => {
                let (name, extent) = (name(choices), choices.hostile());
                checked(choices, |e| nowcast_session_set_extent(session, name, extent, e));
            }
            1 => {
                let right: [u64; 2] = match index {
                    0 => [2, choices.hostile()],
                    1 => [2, 1],
                    _ => [choices.hostile(), 4],
                };
                let rank = if choices.one_in(6) { choices.below(40) } else { 2 };
                let mut shape: Vec<u64> = (0..rank).map(|_| choices.hostile()).collect();
                if rank == 2 {
                    shape.copy_from_slice(&right);
                }
                let given = if choices.one_in(20) { null() } else { shape.as_ptr() };
                checked(choices, |e| {
                    nowcast_session_set_input_shape(session, index, given, rank as u32, e)
                });
            }
            2 => sized(choices, SHAPE_BYTES, |to, choices| {
                checked(choices, |e| nowcast_session_input_shape(session, index, to, e))
            }),
            3 => sized(choices, SHAPE_BYTES, |to, choices| {
                checked(choices, |e| nowcast_session_output_shape(session, index, to, e))
            }),
            _ => drop(out::<i32>(choices, |to, choices| {
                checked(choices, |e| nowcast_session_isa(session, to, e))
            })),
        }
    }
}

/// Bytes of a port; some number if there is no such port.
fn port_bytes(session: *mut c_void, index: u32, input: bool) -> u64 {
    let mut shape = [0u64; SHAPE_BYTES as usize / 8];
    shape[0] = u64::from(SHAPE_BYTES);
    let to: *mut c_void = shape.as_mut_ptr().cast();
    // SAFETY: the struct is as long as it says.
    let status = unsafe {
        match input {
            true => nowcast_session_input_shape(session, index, to, null_mut()),
            false => nowcast_session_output_shape(session, index, to, null_mut()),
        }
    };
    let rank = (shape[0] >> 32) as usize;
    match status {
        OK => shape[1..=rank].iter().fold(4u64, |n, extent| n.saturating_mul(*extent)),
        _ => 24,
    }
}

fn dtype(choices: &mut Choices<'_>) -> i32 {
    match choices.byte() {
        0..216 => 1,
        byte @ 216..248 => i32::from(byte % 27),
        _ => choices.hostile() as i32,
    }
}

pub(super) fn elements(world: &World, choices: &mut Choices<'_>) {
    let session = world.handle(Kind::Session, choices);
    let index = choices.below(5) as u32;
    // SAFETY: handles are live or refused; buffers are as long as they say; pointers that are
    // returned are used while the session is open.
    unsafe {
        match choices.below(4) {
            0 => {
                let mut bytes = 0u64;
                let data = out::<*mut c_void>(choices, |to, choices| {
                    let bytes = &raw mut bytes;
                    checked(choices, |e| nowcast_session_input(session, index, to, bytes, e))
                });
                if let Some(data) = data {
                    core::ptr::write_bytes(data.cast::<u8>(), choices.byte(), bytes as usize);
                }
            }
            1 => {
                let mut bytes = 0u64;
                let data = out::<*mut c_void>(choices, |to, choices| {
                    let bytes = &raw mut bytes;
                    checked(choices, |e| nowcast_session_output(session, index, to, bytes, e))
                });
                if let Some(data) = data {
                    let read = core::slice::from_raw_parts(data.cast::<u8>(), bytes as usize);
                    std::hint::black_box(read.iter().fold(0, |sum: u8, byte| sum ^ byte));
                }
            }
            2 => {
                let dtype = dtype(choices);
                let from = Buffer::new(port_bytes(session, index, true), choices);
                checked(choices, |e| {
                    let (data, bytes) = (from.pointer, from.bytes);
                    nowcast_session_copy_input(session, index, dtype, data, bytes, e)
                });
            }
            _ => {
                let dtype = dtype(choices);
                let to = Buffer::new(port_bytes(session, index, false), choices);
                checked(choices, |e| {
                    let (data, bytes) = (to.pointer, to.bytes);
                    nowcast_session_copy_output(session, index, dtype, data, bytes, e)
                });
            }
        }
    }
}

pub(super) fn run(world: &World, choices: &mut Choices<'_>) {
    let session = world.handle(Kind::Session, choices);
    if choices.one_in(3) {
        // SAFETY: handles are live or refused.
        checked(choices, |e| unsafe { nowcast_session_run(session, e) });
        return;
    }
    let mut buffers = Vec::new();
    let mut bind = |input: bool, choices: &mut Choices<'_>| -> Vec<Binding> {
        let len = if choices.one_in(16) { 60 + choices.below(8) } else { choices.below(4) };
        let binding = |at: usize| {
            let index = if choices.one_in(9) { choices.hostile() as u32 } else { at as u32 % 3 };
            let dtype = dtype(choices);
            let buffer = Buffer::new(port_bytes(session, index, input), choices);
            let (mut data, mut bytes) = (buffer.pointer, buffer.bytes);
            buffers.push(buffer);
            if choices.one_in(12) {
                // Memory that another binding or the session has.
                let other = choices.below(buffers.len());
                (data, bytes) = (buffers[other].pointer, buffers[other].bytes);
                if let Some(live) = world.live.iter().find(|live| live.pointer == session)
                    && choices.one_in(2)
                {
                    (data, bytes) = (live.pointer, 24);
                }
            }
            Binding { index, dtype, data, bytes }
        };
        (0..len).map(binding).collect()
    };
    // Inputs come from the ports behind the cache, which cannot be bound.
    let (inputs, outputs) = (bind(true, choices), bind(false, choices));
    let list = |bindings: &[Binding], wrong: bool| match wrong {
        true => (null(), 1),
        false => (bindings.as_ptr(), bindings.len() as u32),
    };
    let (i, i_len) = list(&inputs, choices.byte() == 255);
    let (o, o_len) = list(&outputs, choices.byte() == 255);
    // SAFETY: handles are live or refused; bindings are ours and as long as they say.
    checked(choices, |e| unsafe { nowcast_session_run_with(session, i, i_len, o, o_len, e) });
}

pub(super) fn state(world: &World, choices: &mut Choices<'_>) {
    let session = world.handle(Kind::Session, choices);
    // SAFETY: handles are live or refused; buffers are as long as they say.
    unsafe {
        let mut needed = 0u64;
        let bytes = match choices.one_in(8) {
            true => out::<u64>(choices, |to, choices| {
                checked(choices, |e| nowcast_session_snapshot_bytes(session, to, e))
            })
            .unwrap_or(8),
            false => {
                nowcast_session_snapshot_bytes(session, &raw mut needed, null_mut());
                needed
            }
        };
        match choices.below(4) {
            0 => drop(checked(choices, |e| nowcast_session_reset(session, e))),
            1 => drop(checked(choices, |e| nowcast_session_prefault(session, e))),
            2 => {
                let snapshot = Buffer::new(bytes, choices);
                let (pointer, len) = (snapshot.pointer, snapshot.bytes);
                checked(choices, |e| nowcast_session_snapshot(session, pointer, len, e));
                // Put back whole: extents of the same session are within their bounds.
                checked(choices, |e| nowcast_session_restore(session, pointer, len, e));
            }
            _ => {
                let mut head: Vec<u8> =
                    (0..8).flat_map(|_| choices.hostile().to_le_bytes()).collect();
                head.resize(bytes.min(MOST_BYTES) as usize, choices.byte());
                let snapshot = Buffer::filled(&head, choices);
                let (pointer, len) = (snapshot.pointer, snapshot.bytes);
                checked(choices, |e| nowcast_session_restore(session, pointer, len, e));
            }
        }
    }
}
