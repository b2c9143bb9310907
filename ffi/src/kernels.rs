//! The kernels as C names them.
//!
//! Owns one exported constant a kernel. Its invariant: nothing here but [`nowcast_kernels_all`]
//! refers to more than one, so that a linker keeps those that a program names.

use core::slice;

use nowcast::runtime::{KERNELS, Kernel, Kernels};

use crate::guard::{elements, reference};
use crate::status::Failure;

/// `nowcast_kernels`.
#[repr(C)]
pub(crate) struct CallerKernels {
    struct_size: u32,
    len: u32,
    list: *const *const Kernel,
}

// SAFETY: constants, never written.
unsafe impl Sync for CallerKernels {}

macro_rules! exports {
    ($($(#[$doc:meta])* $name:ident = $n:literal, $text:literal, $module:ident::$kernel:ident;)*) => {
        $(const _: () = {
            #[unsafe(export_name = concat!("nowcast_kernel_", $text))]
            static KERNEL: Kernel = *nowcast::runtime::kernels::$kernel;
        };)*

        /// What the header calls the kernels.
        #[cfg(all(test, feature = "onnx"))]
        pub(crate) const NAMES: &[&str] = &[$(concat!("nowcast_kernel_", $text)),*];
    };
}
nowcast::for_each_kernel!(exports);

static ALL: CallerKernels = CallerKernels {
    struct_size: size_of::<CallerKernels>() as u32,
    len: KERNELS.list().len() as u32,
    list: KERNELS.list().as_ptr().cast(),
};

#[unsafe(no_mangle)]
extern "C" fn nowcast_kernels_all() -> *const CallerKernels {
    &raw const ALL
}

/// The kernels that a caller lists.
///
/// # Safety
/// `kernels` is NULL or valid for its `struct_size`, and so are the list and the kernels that it
/// names, for as long as what is opened with them.
pub(crate) unsafe fn kernels(kernels: *const CallerKernels) -> Result<Kernels, Failure> {
    // SAFETY: promised by the caller; the size field is read before the others.
    unsafe {
        let size = reference(kernels.cast::<u32>(), "kernels")?;
        if *size as usize != size_of::<CallerKernels>() {
            return Err(Failure::Invalid("kernels", "started from NOWCAST_KERNELS"));
        }
        let kernels = reference(kernels, "kernels")?;
        let list = elements(kernels.list, kernels.len.into(), "the list of kernels")?;
        if list.iter().any(|kernel| kernel.is_null()) {
            return Err(Failure::Null("a kernel of the list"));
        }
        // A reference is a pointer that is not NULL.
        Ok(Kernels::new(slice::from_raw_parts(list.as_ptr().cast::<&Kernel>(), list.len())))
    }
}
