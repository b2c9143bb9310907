//! Versions and the names of numbers.

use core::ffi::{CStr, c_char};

use nowcast::kernels::Isa;
use nowcast::tensor::DType;

use crate::guard::{Error, guard};
use crate::status::Status;

/// `NOWCAST_ABI_VERSION`.
pub(crate) const ABI_VERSION: u32 = 1;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

const UNKNOWN: &CStr = c"unknown";

#[unsafe(no_mangle)]
extern "C" fn nowcast_abi_version() -> u32 {
    ABI_VERSION
}

#[unsafe(no_mangle)]
extern "C" fn nowcast_version() -> *const c_char {
    VERSION.as_ptr().cast()
}

#[unsafe(no_mangle)]
extern "C" fn nowcast_status_name(status: i32) -> *const c_char {
    let status = Status::ALL.iter().find(|known| **known as i32 == status);
    status.map_or(UNKNOWN, |status| status.name()).as_ptr()
}

/// The element type of this number.
pub(crate) fn dtype(code: i32) -> Option<DType> {
    u8::try_from(code).ok().and_then(DType::from_code)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nowcast_dtype_name(code: i32) -> *const c_char {
    let name = match dtype(code) {
        Some(DType::F32) => c"f32",
        Some(DType::F64) => c"f64",
        Some(DType::I32) => c"i32",
        Some(DType::I64) => c"i64",
        Some(DType::U8) => c"u8",
        Some(DType::I8) => c"i8",
        Some(DType::Bool) => c"bool",
        Some(DType::U16) => c"u16",
        Some(DType::I16) => c"i16",
        Some(DType::U32) => c"u32",
        Some(DType::U64) => c"u64",
        Some(DType::F16) => c"f16",
        Some(DType::BF16) => c"bf16",
        Some(DType::F8E4M3FN) => c"f8e4m3fn",
        Some(DType::F8E4M3FNUZ) => c"f8e4m3fnuz",
        Some(DType::F8E5M2) => c"f8e5m2",
        Some(DType::F8E5M2FNUZ) => c"f8e5m2fnuz",
        Some(DType::F8E8M0) => c"f8e8m0",
        Some(DType::F6E2M3) => c"f6e2m3",
        Some(DType::F6E3M2) => c"f6e3m2",
        Some(DType::F4E2M1) => c"f4e2m1",
        Some(DType::I4) => c"i4",
        Some(DType::U4) => c"u4",
        Some(DType::I2) => c"i2",
        Some(DType::U2) => c"u2",
        _ => UNKNOWN,
    };
    name.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn nowcast_dtype_bytes(code: i32) -> u32 {
    dtype(code).map_or(0, |dtype| dtype.bytes() as u32)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nowcast_isa_name(code: i32) -> *const c_char {
    let name = match Isa::ALL.into_iter().find(|isa| *isa as i32 == code) {
        Some(Isa::Scalar) => c"scalar",
        Some(Isa::Avx2) => c"avx2",
        Some(Isa::Avx512) => c"avx512",
        Some(Isa::Neon) => c"neon",
        _ => UNKNOWN,
    };
    name.as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_thread_prepare(error: *mut Error) -> i32 {
    // SAFETY: the header asks for a valid or NULL error.
    unsafe {
        guard(error, || {
            nowcast::runtime::prepare_thread();
            Ok(())
        })
    }
}
