//! Programs and forecasters from ONNX files, on the heap.

use core::ffi::{c_char, c_void};

use nowcast::forecast::Forecaster;
use nowcast::load;

use crate::forecaster::ForecasterObject;
use crate::guard::{Error, Out, elements, guard, text};
use crate::handle::{Handle, Home, boxed};
use crate::options::{CallerOptions, options};
use crate::program::ProgramObject;
use crate::status::Failure;

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_load(
    path: *const c_char,
    choices: *const CallerOptions,
    program: *mut *mut Handle<ProgramObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid or NULL pointers.
    unsafe {
        guard(error, || {
            let path = text(path, "path")?;
            let out = Out::new(program, "program")?;
            let loaded = load::from_path(path, &options(choices)?)?;
            out.write(boxed(ProgramObject::new(loaded, Home::Heap)));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_load_bytes(
    bytes: *const c_void,
    len: u64,
    choices: *const CallerOptions,
    program: *mut *mut Handle<ProgramObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid or NULL pointers.
    unsafe {
        guard(error, || {
            if bytes.is_null() {
                return Err(Failure::Null("bytes"));
            }
            let bytes = elements(bytes.cast::<u8>(), len, "bytes")?;
            let out = Out::new(program, "program")?;
            let loaded = load::from_bytes(bytes, &options(choices)?)?;
            out.write(boxed(ProgramObject::new(loaded, Home::Heap)));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecaster_load(
    path: *const c_char,
    forecaster: *mut *mut Handle<ForecasterObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let path = text(path, "path")?;
            let out = Out::new(forecaster, "forecaster")?;
            let loaded = Forecaster::from_folder(path)?;
            out.write(boxed(ForecasterObject::new(loaded, Home::Heap)));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecaster_load_parts(
    json: *const c_void,
    json_bytes: u64,
    model: *const c_void,
    model_bytes: u64,
    covariance: *const c_void,
    covariance_bytes: u64,
    forecaster: *mut *mut Handle<ForecasterObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL.
    unsafe {
        guard(error, || {
            for (part, name) in [(json, "json"), (model, "model"), (covariance, "covariance")] {
                if part.is_null() {
                    return Err(Failure::Null(name));
                }
            }
            let json = elements(json.cast::<u8>(), json_bytes, "json")?;
            let json = str::from_utf8(json).map_err(|_| Failure::Invalid("json", "UTF-8"))?;
            let model = elements(model.cast::<u8>(), model_bytes, "model")?;
            let covariance = elements(covariance.cast::<u8>(), covariance_bytes, "covariance")?;
            let out = Out::new(forecaster, "forecaster")?;
            let loaded = Forecaster::from_parts(json, model, covariance)?;
            out.write(boxed(ForecasterObject::new(loaded, Home::Heap)));
            Ok(())
        })
    }
}
