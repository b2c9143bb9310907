//! One call each, chosen by a byte.

use core::ffi::{CStr, c_void};
use core::ptr::{null, null_mut};

use nowcast_fuzz::aligned::Aligned;
use nowcast_fuzz::choices::Choices;
use nowcast_fuzz::fixture;

use crate::header::*;
use crate::world::{Buffer, Kind, World, checked, name, out, sized};

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

fn model(choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.byte() {
        0..150 => fixture::cache_model(),
        150..220 => fixture::forecaster_model(),
        220..240 => {
            let whole = fixture::cache_model();
            let len = choices.byte() as usize % whole.len();
            whole[..len].to_vec()
        }
        _ => choices.bytes(40).to_vec(),
    }
}

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

fn ask_bundle(choices: &mut Choices<'_>) {
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

fn open_bundle(world: &mut World, choices: &mut Choices<'_>) {
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

/// Calls `load` with options that may name anything.
fn with_options<T>(
    choices: &mut Choices<'_>,
    load: impl FnOnce(*const Options, &mut Choices<'_>) -> T,
) -> T {
    let way = choices.byte();
    if way >= 240 {
        return load(null(), choices);
    }
    let (n, most) = (choices.hostile(), choices.hostile());
    let mut dims = vec![
        Dim { name: c"n".as_ptr(), min: 1, max: 1 + n % 6 },
        Dim { name: c"p".as_ptr(), min: 0, max: most % 9 },
    ];
    let mut states = vec![State { output: c"present".as_ptr(), input: c"past".as_ptr() }];
    let mut values = Vec::new();
    let extents = [choices.hostile(), choices.hostile(), 1];
    let mut data = Vec::new();
    if way >= 120 {
        for _ in 0..choices.below(4) {
            let (min, max) = (choices.hostile(), choices.hostile());
            dims.push(Dim { name: name(choices), min, max });
        }
        if choices.one_in(3) {
            dims.remove(choices.below(dims.len()));
        }
        for _ in 0..choices.below(2) {
            states.push(State { output: name(choices), input: name(choices) });
        }
        if choices.one_in(2) {
            states.clear();
        }
        for _ in 0..choices.below(3) {
            let rank = choices.below(4) as u32;
            let bytes = match choices.byte() {
                0..64 => u64::MAX,
                // What the extents ask for, if that is little.
                _ => {
                    let shape = &extents[..rank.min(3) as usize];
                    let len = shape.iter().try_fold(4u64, |n, x| n.checked_mul(*x));
                    len.filter(|len| *len < 4096).unwrap_or(8)
                }
            };
            data.push(Aligned::zeroed(if bytes < 4096 { bytes as usize } else { 0 }));
            let place: *mut u8 = data[data.len() - 1].pointer();
            let listed = if choices.one_in(12) { null() } else { extents.as_ptr() };
            values.push(Value {
                name: name(choices),
                dtype: 1 + choices.below(13) as i32,
                rank: rank.min(3),
                extents: listed,
                data: if choices.one_in(12) { null() } else { place.cast() },
                bytes,
            });
        }
    }
    let array = |len: usize, wrong: bool| if wrong { 3 } else { len as u32 };
    let (no_dims, no_states) = (choices.byte() == 255, choices.byte() == 255);
    let options = Options {
        struct_size: match choices.byte() {
            0..230 => size_of::<Options>() as u32,
            byte => u32::from(byte - 200) % 48,
        },
        dims_len: array(dims.len(), no_dims),
        dims: if no_dims { null() } else { dims.as_ptr() },
        states_len: array(states.len(), no_states),
        values_len: values.len() as u32,
        states: if no_states { null() } else { states.as_ptr() },
        values: values.as_ptr(),
    };
    load(&raw const options, choices)
}

fn load(world: &mut World, choices: &mut Choices<'_>) {
    let model = model(choices);
    let bytes = Buffer::filled(&model, choices);
    let made = with_options(choices, |options, choices| {
        out::<*mut c_void>(choices, |to, choices| {
            // SAFETY: bytes and options are ours and as long as they say.
            checked(choices, |e| unsafe {
                nowcast_program_load_bytes(bytes.pointer, bytes.bytes, options, to, e)
            })
        })
    });
    if let Some(program) = made {
        world.add(Kind::Program, program, null_mut(), None);
    }
}

fn load_path(world: &mut World, choices: &mut Choices<'_>) {
    let path = name(choices);
    if choices.one_in(2) {
        let made = out::<*mut c_void>(choices, |to, choices| {
            // SAFETY: the path is static text.
            checked(choices, |e| unsafe { nowcast_program_load(path, null(), to, e) })
        });
        assert!(made.is_none(), "loads a file that is not there");
    } else {
        let made = out::<*mut c_void>(choices, |to, choices| {
            // SAFETY: as above.
            checked(choices, |e| unsafe { nowcast_forecaster_load(path, to, e) })
        });
        assert!(made.is_none(), "loads a folder that is not there");
    }
    let _ = world;
}

fn ask_program(world: &World, choices: &mut Choices<'_>) {
    let program = world.handle(Kind::Program, choices);
    let index = choices.hostile() as u32;
    // SAFETY: handles are live or refused; structs are as long as they say.
    unsafe {
        match choices.below(9) {
            0 => sized(choices, MEMORY_BYTES, |to, choices| {
                checked(choices, |e| nowcast_program_memory(program, to, e))
            }),
            1 => drop(out::<u32>(choices, |to, choices| {
                checked(choices, |e| nowcast_program_inputs_len(program, to, e))
            })),
            2 => drop(out::<u32>(choices, |to, choices| {
                checked(choices, |e| nowcast_program_outputs_len(program, to, e))
            })),
            3 => sized(choices, PORT_BYTES, |to, choices| {
                checked(choices, |e| nowcast_program_input(program, index, to, e))
            }),
            4 => sized(choices, PORT_BYTES, |to, choices| {
                checked(choices, |e| nowcast_program_output(program, index, to, e))
            }),
            5 => {
                let axis = choices.hostile() as u32;
                let dim = out::<Dim>(choices, |to, choices| {
                    checked(choices, |e| nowcast_program_input_dim(program, index, axis, to, e))
                });
                if let Some(dim) = dim {
                    assert!(!CStr::from_ptr(dim.name).is_empty() && dim.min <= dim.max);
                }
            }
            6 => {
                let name = name(choices);
                out::<u32>(choices, |to, choices| {
                    checked(choices, |e| nowcast_program_find_input(program, name, to, e))
                });
            }
            7 => {
                let name = name(choices);
                out::<u32>(choices, |to, choices| {
                    checked(choices, |e| nowcast_program_find_output(program, name, to, e))
                });
            }
            _ => drop(out::<u64>(choices, |to, choices| {
                checked(choices, |e| nowcast_session_bytes(program, to, e))
            })),
        }
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

fn open_session(world: &mut World, choices: &mut Choices<'_>) {
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

fn extents(world: &World, choices: &mut Choices<'_>) {
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
        byte @ 216..248 => i32::from(byte % 13),
        _ => choices.hostile() as i32,
    }
}

fn elements(world: &World, choices: &mut Choices<'_>) {
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

fn run(world: &World, choices: &mut Choices<'_>) {
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

fn state(world: &World, choices: &mut Choices<'_>) {
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

fn make_gaussian(world: &mut World, choices: &mut Choices<'_>) {
    let dim = match choices.byte() {
        byte @ 0..216 => 1 + byte as usize % 19,
        _ => {
            // Sizes only: no memory is that large.
            let dim = choices.hostile();
            // SAFETY: outputs are ours.
            unsafe {
                out::<u64>(choices, |to, choices| {
                    checked(choices, |e| nowcast_gaussian_diagonal_bytes(dim, to, e))
                });
                let mut scratch = 0;
                out::<u64>(choices, |to, choices| {
                    let scratch = &raw mut scratch;
                    checked(choices, |e| nowcast_gaussian_full_bytes(dim, to, scratch, e))
                });
            }
            return;
        }
    };
    let len = dim as u64;
    let mean: Vec<f64> = (0..dim).map(|_| number(choices)).collect();
    let mut covariance = vec![0.0; dim * dim];
    for row in 0..dim {
        covariance[row * dim + row] = 8.0;
    }
    for _ in 0..choices.below(6) {
        let (row, col) = (choices.below(dim), choices.below(dim));
        let x = number(choices);
        covariance[row * dim + col] = x;
        covariance[col * dim + row] = if choices.one_in(8) { -x } else { x };
    }
    let mean = if choices.one_in(40) { null() } else { mean.as_ptr() };
    let (mut bytes, mut scratch_bytes) = (0, 0);
    let isa = isa(choices);
    // SAFETY: arrays and memory are as long as we say.
    unsafe {
        let made = if choices.one_in(2) {
            let to = &raw mut bytes;
            assert_eq!(
                nowcast_gaussian_full_bytes(len, to, &raw mut scratch_bytes, null_mut()),
                OK
            );
            let (memory, pointer, bytes) = room(bytes, choices);
            let (_scratch, scratch, scratch_bytes) = room(scratch_bytes, choices);
            let of = covariance.as_ptr();
            let made = out::<*mut c_void>(choices, |to, choices| {
                checked(choices, |e| {
                    nowcast_gaussian_full(
                        mean,
                        of,
                        len,
                        isa,
                        pointer,
                        bytes,
                        scratch,
                        scratch_bytes,
                        to,
                        e,
                    )
                })
            });
            made.map(|gaussian| (gaussian, memory))
        } else {
            assert_eq!(nowcast_gaussian_diagonal_bytes(len, &raw mut bytes, null_mut()), OK);
            let (memory, pointer, bytes) = room(bytes, choices);
            let of = covariance.as_ptr();
            let made = out::<*mut c_void>(choices, |to, choices| {
                checked(choices, |e| {
                    nowcast_gaussian_diagonal(mean, of, len, isa, pointer, bytes, to, e)
                })
            });
            made.map(|gaussian| (gaussian, memory))
        };
        if let Some((gaussian, memory)) = made {
            world.add(Kind::Gaussian, gaussian, null_mut(), Some(memory));
        }
    }
}

fn use_gaussian(world: &World, choices: &mut Choices<'_>) {
    let gaussian = world.handle(Kind::Gaussian, choices);
    // SAFETY: handles are live or refused; `out` has as many elements as are asked for, or more
    // are asked for than memory has.
    unsafe {
        let mut dim = 1u64;
        nowcast_gaussian_dim(gaussian, &raw mut dim, null_mut());
        match choices.below(3) {
            0 => drop(out::<u64>(choices, |to, choices| {
                checked(choices, |e| nowcast_gaussian_dim(gaussian, to, e))
            })),
            1 => {
                let (seed, stream, first) =
                    (choices.hostile(), choices.hostile(), choices.hostile());
                let (memory, paths) = paths(dim, choices);
                let to = memory.as_ref().map_or(null_mut(), |memory| memory.pointer().cast());
                checked(choices, |e| {
                    nowcast_gaussian_draw(gaussian, seed, stream, first, to, paths, e)
                });
            }
            _ => {
                let (index, p) = (choices.hostile(), number(choices));
                out::<f64>(choices, |to, choices| {
                    checked(choices, |e| nowcast_gaussian_quantile(gaussian, index, p, to, e))
                });
            }
        }
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

fn load_forecaster(world: &mut World, choices: &mut Choices<'_>) {
    if choices.one_in(4) {
        let forecaster = world.handle(Kind::Forecaster, choices);
        sized(choices, INFO_BYTES, |to, choices| {
            // SAFETY: handles are live or refused; the struct is as long as it says.
            checked(choices, |e| unsafe { nowcast_forecaster_describe(forecaster, to, e) })
        });
        return;
    }
    let mut parts = [
        fixture::FORECASTER_JSON.as_bytes().to_vec(),
        fixture::forecaster_model(),
        fixture::covariance_npy(),
    ];
    for _ in 0..choices.below(4) {
        let part = &mut parts[choices.below(3)];
        let at = choices.number() as usize % part.len();
        part[at] = choices.byte();
    }
    let [json, model, covariance] = parts.each_ref().map(|part| Buffer::filled(part, choices));
    let made = out::<*mut c_void>(choices, |to, choices| {
        // SAFETY: the parts are ours and as long as they say.
        checked(choices, |e| unsafe {
            nowcast_forecaster_load_parts(
                json.pointer,
                json.bytes,
                model.pointer,
                model.bytes,
                covariance.pointer,
                covariance.bytes,
                to,
                e,
            )
        })
    });
    if let Some(forecaster) = made {
        world.add(Kind::Forecaster, forecaster, null_mut(), None);
    }
}

/// Context, horizon and bytes of a forecast.
fn info(forecaster: *mut c_void) -> (u64, u64, u64) {
    let mut info = [u64::from(INFO_BYTES), 0, 0, 0, 0];
    // SAFETY: the struct is as long as it says.
    unsafe { nowcast_forecaster_describe(forecaster, info.as_mut_ptr().cast(), null_mut()) };
    (info[1], info[2], info[4])
}

fn open_forecast(world: &mut World, choices: &mut Choices<'_>) {
    let forecaster = world.handle(Kind::Forecaster, choices);
    let needed = info(forecaster).2;
    let isa = isa(choices);
    let (memory, pointer, bytes) = room(needed.max(64), choices);
    let made = out::<*mut c_void>(choices, |to, choices| {
        // SAFETY: handles are live or refused; memory is as long as we say.
        checked(choices, |e| unsafe {
            nowcast_forecast_open(forecaster, isa, pointer, bytes, to, e)
        })
    });
    if let Some(forecast) = made {
        world.add(Kind::Forecast, forecast, forecaster, Some(memory));
    }
}

fn use_forecast(world: &World, choices: &mut Choices<'_>) {
    let forecast = world.handle(Kind::Forecast, choices);
    let of = world.live.iter().find(|live| live.pointer == forecast);
    let (context, horizon, _) = of.map_or((4, 3, 0), |live| info(live.of));
    // SAFETY: handles are live or refused; arrays are as long as we say.
    unsafe {
        match choices.below(5) {
            0 => {
                let mut elements: Vec<f32> =
                    (0..context.min(4096)).map(|_| number(choices) as f32).collect();
                if choices.one_in(8) {
                    elements.pop();
                }
                let (len, time) = (elements.len() as u64, choices.hostile() as i64);
                let from = if choices.one_in(30) { null() } else { elements.as_ptr() };
                checked(choices, |e| nowcast_forecast_run(forecast, from, len, time, e));
            }
            1 => drop(checked(choices, |e| nowcast_forecast_prefault(forecast, e))),
            2 => {
                let to = Buffer::new(horizon * 4, choices);
                let len = if to.bytes > u64::MAX / 2 { to.bytes } else { to.bytes / 4 };
                let pointer = to.pointer.cast();
                checked(choices, |e| nowcast_forecast_mean(forecast, pointer, len, e));
            }
            3 => {
                let (to, p) = (Buffer::new(horizon * 4, choices), number(choices));
                let len = if to.bytes > u64::MAX / 2 { to.bytes } else { to.bytes / 4 };
                let pointer = to.pointer.cast();
                checked(choices, |e| nowcast_forecast_quantile(forecast, p, pointer, len, e));
            }
            _ => {
                let (seed, stream, first) =
                    (choices.hostile(), choices.hostile(), choices.hostile());
                let (memory, paths) = paths(horizon, choices);
                let to = memory.as_ref().map_or(null_mut(), |memory| memory.pointer().cast());
                checked(choices, |e| {
                    nowcast_forecast_paths(forecast, seed, stream, first, to, paths, e)
                });
            }
        }
    }
}
