//! Programs and forecasters from bundles that are mapped, on the heap.

use core::ffi::c_char;

use nowcast::bundle::File;
use nowcast::forecast::Forecaster;

use crate::bundle::name;
use crate::forecaster::ForecasterObject;
use crate::guard::{Error, Out, guard, text};
use crate::handle::{Handle, Home, boxed};
use crate::kernels::{CallerKernels, kernels};
use crate::program::ProgramObject;

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_program_map(
    path: *const c_char,
    model: *const c_char,
    list: *const CallerKernels,
    program: *mut *mut Handle<ProgramObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL, and for a file that nobody writes.
    unsafe {
        guard(error, || {
            let (path, model) = (text(path, "path")?, name(model)?);
            let list = kernels(list)?;
            let out = Out::new(program, "program")?;
            let mapped = File::map(path)?.program(model, &list)?;
            out.write(boxed(ProgramObject::new(mapped, Home::Heap)));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecaster_map(
    path: *const c_char,
    model: *const c_char,
    list: *const CallerKernels,
    forecaster: *mut *mut Handle<ForecasterObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL, and for a file that nobody writes.
    unsafe {
        guard(error, || {
            let (path, model) = (text(path, "path")?, name(model)?);
            let list = kernels(list)?;
            let out = Out::new(forecaster, "forecaster")?;
            let mapped = Forecaster::from_file(&File::map(path)?, model, &list)?;
            out.write(boxed(ForecasterObject::new(mapped, Home::Heap)));
            Ok(())
        })
    }
}
