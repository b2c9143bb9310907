//! Programs from models: loading with options that may name anything, questions.

use core::ffi::{CStr, c_char, c_void};
use core::ptr::{null, null_mut};

use nowcast_fuzz::aligned::Aligned;
use nowcast_fuzz::choices::Choices;
use nowcast_fuzz::fixture;

use crate::header::*;
use crate::world::{Buffer, Kind, World, checked, name, out, sized};

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
                dtype: 1 + choices.below(27) as i32,
                rank: rank.min(3),
                extents: listed,
                data: if choices.one_in(12) { null() } else { place.cast() },
                bytes,
            });
        }
    }
    let array = |len: usize, wrong: bool| if wrong { 3 } else { len as u32 };
    let (no_dims, no_states) = (choices.byte() == 255, choices.byte() == 255);
    let mut ranges = Vec::new();
    for _ in 0..if choices.one_in(8) { choices.below(3) } else { 0 } {
        let (min, max) = (choices.hostile() as i64, choices.hostile() as i64);
        ranges.push(ValueRange { name: name(choices), min, max });
    }
    let mut trips = Vec::new();
    if choices.one_in(16) {
        trips.push(MaxTrips { node: name(choices), trips: choices.hostile() });
    }
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
        max_memory: if choices.one_in(8) { choices.hostile() } else { 0 },
        ranges_len: ranges.len() as u32,
        trips_len: trips.len() as u32,
        ranges: ranges.as_ptr(),
        trips: trips.as_ptr(),
    };
    load(&raw const options, choices)
}

pub(super) fn load(world: &mut World, choices: &mut Choices<'_>) {
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

pub(super) fn load_path(world: &mut World, choices: &mut Choices<'_>) {
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

pub(super) fn ask_program(world: &World, choices: &mut Choices<'_>) {
    let program = world.handle(Kind::Program, choices);
    let index = choices.hostile() as u32;
    // SAFETY: handles are live or refused; structs are as long as they say.
    unsafe {
        match choices.below(11) {
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
            8 => drop(out::<u32>(choices, |to, choices| {
                checked(choices, |e| nowcast_program_output_labels_len(program, index, to, e))
            })),
            9 => {
                let label = choices.hostile() as u32;
                let text = out::<*const c_char>(choices, |to, choices| {
                    checked(choices, |e| nowcast_program_output_label(program, index, label, to, e))
                });
                if let Some(text) = text {
                    assert!(CStr::from_ptr(text).to_str().is_ok());
                }
            }
            _ => drop(out::<u64>(choices, |to, choices| {
                checked(choices, |e| nowcast_session_bytes(program, to, e))
            })),
        }
    }
}
