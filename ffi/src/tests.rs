//! The numbers of the header against ours: no program may see one change.

use std::collections::BTreeMap;
use std::ffi::CStr;

use nowcast::kernels::Isa;
use nowcast::runtime::{MAX_PORT_RANK, MemoryNeeds};
use nowcast::tensor::DType;

use crate::guard::{Error, guard};
use crate::handle::Object;
use crate::status::{Failure, Status};
use crate::{bundle, forecaster, kernels, names, options, ports, program, run, session};

const HEADER: &str = include_str!("../include/nowcast.h");

/// Enumerators `NAME = NUMBER` and macros `#define NAME NUMBER` of the header.
fn numbers() -> BTreeMap<&'static str, i64> {
    let mut numbers = BTreeMap::new();
    for line in HEADER.lines() {
        let line = line.trim();
        let pair = match line.strip_prefix("#define ") {
            Some(definition) => definition.split_once(' '),
            None => line.split_once(" = "),
        };
        let Some((name, rest)) = pair.filter(|(name, _)| name.starts_with("NOWCAST_")) else {
            continue;
        };
        let digits = rest.split([',', ' ', 'u']).next().unwrap_or_default();
        if let Ok(number) = digits.parse() {
            assert_eq!(numbers.insert(name, number), None, "{name} is there twice");
        }
    }
    numbers
}

#[test]
fn statuses_are_those_of_the_header() {
    let header = numbers();
    for status in Status::ALL {
        let name = status.name().to_str().expect("ASCII");
        assert_eq!(header.get(name), Some(&i64::from(*status as i32)), "{name}");
    }
}

#[test]
fn types_and_instruction_sets_are_those_of_the_header() {
    let header = numbers();
    for dtype in DType::ALL {
        let name = format!("NOWCAST_{}", dtype.name().to_uppercase());
        assert_eq!(header.get(name.as_str()), Some(&(dtype as i64)), "{name}");
        // SAFETY: names are static text ended by NUL.
        let text = unsafe { CStr::from_ptr(names::nowcast_dtype_name(dtype as i32)) };
        assert_eq!(text.to_str(), Ok(dtype.name()));
    }
    for isa in Isa::ALL {
        let name = format!("NOWCAST_ISA_{}", isa.name().to_uppercase());
        assert_eq!(header.get(name.as_str()), Some(&(isa as i64)), "{name}");
        // SAFETY: names are static text ended by NUL.
        let text = unsafe { CStr::from_ptr(names::nowcast_isa_name(isa as i32)) };
        assert_eq!(text.to_str(), Ok(isa.name()));
    }
}

#[test]
fn constants_are_those_of_the_header() {
    let header = numbers();
    assert_eq!(header["NOWCAST_ABI_VERSION"], i64::from(names::ABI_VERSION));
    assert_eq!(header["NOWCAST_ALIGNMENT"], MemoryNeeds::ALIGNMENT as i64);
    assert_eq!(header["NOWCAST_MAX_RANK"], MAX_PORT_RANK as i64);
    assert_eq!(header["NOWCAST_MAX_BINDINGS"], run::MAX_BINDINGS as i64);
    assert_eq!(header["NOWCAST_ISA_AUTO"], -1);
    assert_eq!(header["NOWCAST_ISA_AUTO_WITHOUT_AMX"], -2);
    assert_eq!(header["NOWCAST_PROGRAM_BYTES"], program::ProgramObject::BYTES as i64);
    assert_eq!(header["NOWCAST_FORECASTER_BYTES"], forecaster::ForecasterObject::BYTES as i64);
}

#[test]
fn kernels_are_those_of_the_header() {
    let list = HEADER.split_once("extern NOWCAST_DATA const nowcast_kernel").expect("the list").1;
    let list = list.split_once(';').expect("its end").0;
    let declared: Vec<&str> = list.split(',').map(str::trim).collect();
    assert_eq!(declared, kernels::NAMES);
}

/// `tests/c/errors.c` asserts the same sizes of the header's structs.
#[cfg(target_pointer_width = "64")]
#[test]
fn structs_have_the_sizes_of_the_header() {
    assert_eq!(size_of::<Error>(), 520);
    assert_eq!(size_of::<kernels::CallerKernels>(), 16);
    assert_eq!(size_of::<bundle::BundleInfo>(), 32);
    assert_eq!(size_of::<ports::Dim>(), 24);
    assert_eq!(size_of::<options::State>(), 16);
    assert_eq!(size_of::<options::Value>(), 40);
    assert_eq!(size_of::<options::CallerOptions>(), 80);
    assert_eq!(size_of::<program::Memory>(), 48);
    assert_eq!(size_of::<ports::PortInfo>(), 160);
    assert_eq!(size_of::<session::ShapeInfo>(), 136);
    assert_eq!(size_of::<run::InputBinding>(), 24);
    assert_eq!(size_of::<run::OutputBinding>(), 24);
    assert_eq!(size_of::<forecaster::ForecasterInfo>(), 40);
}

fn error_of(struct_size: usize) -> Error {
    Error { struct_size: struct_size as u32, code: -7, message: [b'x'; 512] }
}

fn message(error: &Error) -> &str {
    let text = CStr::from_bytes_until_nul(&error.message).expect("ended by NUL");
    text.to_str().expect("UTF-8")
}

#[test]
fn a_panic_becomes_a_status() {
    let mut error = error_of(520);
    // SAFETY: the error is ours.
    let status = unsafe { guard(&raw mut error, || panic!("at {}", 7)) };
    assert_eq!((status, error.code), (100, 100));
    assert_eq!(message(&error), "an error of nowcast, please report it: at 7");
    // SAFETY: NULL is allowed.
    assert_eq!(unsafe { guard(core::ptr::null_mut(), || panic!()) }, 100);
}

#[test]
fn text_is_cut_to_the_struct_between_characters() {
    let failure = || Err(Failure::Null("é-argument"));
    for (given, expected) in [(520, "é-argument is NULL"), (8 + 5, "é-a"), (8 + 2, ""), (9, "")] {
        let mut error = error_of(given);
        // SAFETY: the error is ours.
        let status = unsafe { guard(&raw mut error, failure) };
        assert_eq!(status, Status::NullArgument as i32);
        let cut = message(&error);
        assert!(cut.starts_with(expected) && cut.len() <= given - 9, "{given}: {cut}");
        assert!(error.message[given - 8..].iter().all(|byte| *byte == b'x'), "{given}");
    }
    let mut error = error_of(8);
    // SAFETY: the error is ours.
    unsafe { guard(&raw mut error, failure) };
    assert_eq!((error.code, error.message[0]), (-7, b'x'));
}

#[test]
fn a_success_leaves_the_error_alone() {
    let mut error = error_of(520);
    // SAFETY: the error is ours.
    assert_eq!(unsafe { guard(&raw mut error, || Ok(())) }, 0);
    assert_eq!((error.code, error.message[0]), (-7, b'x'));
}
