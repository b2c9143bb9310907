//! What a caller of the C interface holds: objects, their memory, arguments that are wrong.

use core::ffi::{c_char, c_void};
use core::ptr::null_mut;

use nowcast_fuzz::aligned::Aligned;
use nowcast_fuzz::choices::Choices;

use crate::header::*;

/// Kinds of objects.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Program,
    Session,
    Gaussian,
    Forecaster,
    Forecast,
}

/// An object that is alive, with the memory that it lies in and the object it was made of.
pub(crate) struct Live {
    pub(crate) kind: Kind,
    pub(crate) pointer: *mut c_void,
    pub(crate) memory: Option<Aligned>,
    /// What it reads: a bundle.
    pub(crate) bundle: Option<Aligned>,
    pub(crate) of: *mut c_void,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) live: Vec<Live>,
    /// Memory of objects that are closed: their handles are refused as long as it is there.
    closed: Vec<Aligned>,
}

impl World {
    /// A handle where one of this kind is asked for: most often it is one.
    pub(crate) fn handle(&self, kind: Kind, choices: &mut Choices<'_>) -> *mut c_void {
        let way = choices.byte();
        let any = |wanted: bool, at: usize| {
            let all = || self.live.iter().filter(|live| (live.kind == kind) == wanted);
            all().nth(at % all().count().max(1)).map_or(null_mut(), |live| live.pointer)
        };
        match way {
            0..224 => any(true, way as usize),
            224..236 => any(false, way as usize),
            236..246 => match self.closed.len() {
                0 => null_mut(),
                len => self.closed[way as usize % len].pointer().cast(),
            },
            246..250 => any(true, 0).wrapping_byte_add(1),
            _ => null_mut(),
        }
    }

    pub(crate) fn add(
        &mut self,
        kind: Kind,
        pointer: *mut c_void,
        of: *mut c_void,
        memory: Option<Aligned>,
    ) {
        assert!(!pointer.is_null(), "made, but NULL");
        self.live.push(Live { kind, pointer, memory, bundle: None, of });
    }

    /// Ends an object, if its kind is the one of the function that is called.
    pub(crate) fn close(&mut self, kind: Kind, pointer: *mut c_void, choices: &mut Choices<'_>) {
        let status = checked(choices, |e| end(kind, pointer, e));
        let at = self.live.iter().position(|live| live.pointer == pointer && live.kind == kind);
        match at {
            Some(_) if self.live.iter().any(|live| live.of == pointer) => {
                assert_eq!(status, IN_USE, "freed under its sessions");
            }
            Some(at) => {
                assert_eq!(status, OK, "a live object is not closed");
                self.closed.extend(self.live.swap_remove(at).memory);
            }
            None => assert_eq!(status == OK, pointer.is_null(), "closed what is no such object"),
        }
    }

    /// Ends all that is left: what leaks is a finding.
    pub(crate) fn end(mut self) {
        for kind in [Kind::Session, Kind::Forecast, Kind::Gaussian, Kind::Program, Kind::Forecaster]
        {
            for live in self.live.extract_if(.., |live| live.kind == kind) {
                assert_eq!(end(kind, live.pointer, null_mut()), OK, "is not closed at the end");
                if live.memory.is_some() {
                    assert_ne!(end(kind, live.pointer, null_mut()), OK, "is closed twice");
                }
            }
        }
    }
}

fn end(kind: Kind, pointer: *mut c_void, e: *mut c_void) -> i32 {
    // SAFETY: a handle, or readable memory that is none.
    unsafe {
        match kind {
            Kind::Program => nowcast_program_release(pointer, e),
            Kind::Session => nowcast_session_close(pointer, e),
            Kind::Gaussian => nowcast_gaussian_release(pointer, e),
            Kind::Forecaster => nowcast_forecaster_release(pointer, e),
            Kind::Forecast => nowcast_forecast_close(pointer, e),
        }
    }
}

/// Makes a call with a `nowcast_error` of some size, and looks at what became of it.
pub(crate) fn checked(choices: &mut Choices<'_>, call: impl FnOnce(*mut c_void) -> i32) -> i32 {
    const HEAD: usize = 8;
    let size = match choices.byte() {
        0..128 => 520,
        128..160 => 0,
        byte @ 160..232 => byte as usize - 156,
        232..244 => u32::MAX as usize,
        244..250 => {
            let memory = Aligned::zeroed(528);
            return call(memory.pointer().wrapping_add(1).cast());
        }
        _ => return call(null_mut()),
    };
    let mut memory = Aligned::zeroed(size.clamp(4, 520));
    memory.bytes_mut().fill(0xa5);
    memory.bytes_mut()[..4].copy_from_slice(&(size as u32).to_le_bytes());
    let before = memory.bytes().to_vec();
    let status = call(memory.pointer().cast());
    assert_ne!(status, PANIC, "a panic became a status");
    if status == OK || size <= HEAD {
        assert_eq!(memory.bytes(), before, "an error is written that nobody asked for");
    } else {
        assert_eq!(memory.bytes()[4..8], status.to_le_bytes(), "another code than the status");
        let text = memory.bytes()[HEAD..].split(|byte| *byte == 0).next().expect("a part");
        assert!(text.len() < memory.bytes().len() - HEAD, "text without an end");
        assert!(str::from_utf8(text).is_ok(), "text that is no text");
        assert!(size < 520 || !text.is_empty(), "no sentence");
    }
    status
}

/// Where one `T` goes, mostly: it may be NULL or misaligned. `None` if nothing was written.
pub(crate) fn out<T: Copy>(
    choices: &mut Choices<'_>,
    call: impl FnOnce(*mut T, &mut Choices<'_>) -> i32,
) -> Option<T> {
    let memory = Aligned::zeroed(size_of::<T>() + 1);
    let pointer: *mut T = match choices.byte() {
        0..236 => memory.pointer().cast(),
        236..246 => memory.pointer().wrapping_add(1).cast(),
        _ => null_mut(),
    };
    let status = call(pointer, choices);
    if status != OK {
        assert!(memory.bytes().iter().all(|byte| *byte == 0), "a failure writes a result");
        return None;
    }
    assert!(pointer.is_aligned() && !pointer.is_null(), "success without a place for it");
    // SAFETY: as long as a `T`; the call has written one.
    Some(unsafe { pointer.read() })
}

/// A struct that starts with its size, mostly the right one, in exactly as many bytes.
pub(crate) fn sized(
    choices: &mut Choices<'_>,
    size: u32,
    call: impl FnOnce(*mut c_void, &mut Choices<'_>) -> i32,
) {
    let says = match choices.byte() {
        0..200 => size,
        200..216 => 0,
        216..232 => size - 1,
        232..248 => size + 8,
        _ => return assert_ne!(call(null_mut(), choices), OK),
    };
    let mut memory = Aligned::zeroed(says.clamp(4, size + 8) as usize);
    memory.bytes_mut()[..4].copy_from_slice(&says.to_le_bytes());
    let before = memory.bytes().to_vec();
    let status = call(memory.pointer().cast(), choices);
    assert!(status != OK || says == size, "a struct of another size is taken");
    assert!(status == OK || memory.bytes() == before, "a failure writes a struct");
}

/// A name: one of the models', none, one that is no text, a long one.
pub(crate) fn name(choices: &mut Choices<'_>) -> *const c_char {
    const LONG: &[u8; 601] = &{
        let mut long = [b'n'; 601];
        long[600] = 0;
        long
    };
    let names: [&core::ffi::CStr; 16] = [
        c"n",
        c"p",
        c"x",
        c"y",
        c"past",
        c"present",
        c"z",
        c"sum",
        c"context",
        c"time",
        c"mean",
        c"one",
        c"cache",
        c"",
        c"\xff\xfe",
        c"no such name",
    ];
    match choices.byte() {
        byte @ 0..240 => names[byte as usize % names.len()].as_ptr(),
        240..248 => LONG.as_ptr().cast(),
        _ => core::ptr::null(),
    }
}

/// Bytes of exactly the length that goes with them: right, wrong, none, or longer than memory.
pub(crate) struct Buffer {
    memory: Aligned,
    pub(crate) pointer: *mut c_void,
    pub(crate) bytes: u64,
}

impl Buffer {
    pub(crate) fn new(right: u64, choices: &mut Choices<'_>) -> Self {
        let right = right.min(1 << 20);
        let way = choices.byte();
        let bytes = match way {
            0..176 | 248.. => right,
            176..192 => right.saturating_sub(1),
            192..208 => right + 4,
            208..224 => u64::from(choices.byte()),
            224..232 => 0,
            _ => 0,
        };
        let mut memory = Aligned::zeroed(bytes as usize + 1);
        for byte in memory.bytes_mut().iter_mut().step_by(7) {
            *byte = way.wrapping_mul(37);
        }
        // One byte behind the end belongs to us only where the start is moved by one.
        let (pointer, bytes) = match way {
            232..240 => (memory.pointer().wrapping_add(1), 0),
            240..244 => (null_mut(), right),
            244..248 => (memory.pointer(), u64::MAX - u64::from(way & 1) * 7),
            248.. => (memory.pointer().wrapping_add(1), bytes),
            _ => (memory.pointer(), bytes),
        };
        Self { memory, pointer: pointer.cast(), bytes }
    }

    /// The bytes, in place.
    pub(crate) fn filled(right: &[u8], choices: &mut Choices<'_>) -> Self {
        let mut buffer = Self::new(right.len() as u64, choices);
        let len = right.len().min(buffer.memory.bytes().len());
        buffer.memory.bytes_mut()[..len].copy_from_slice(&right[..len]);
        buffer
    }
}
