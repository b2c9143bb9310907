//! Whether a process may use tiles: Linux gives them to one that asks, and keeps them from one
//! whose threads have signal stacks too small for them.

use crate::kernels::isa::Tiles;

/// Asks for tiles. A process that has them already is told so.
pub(in crate::kernels) fn ask() -> Tiles {
    match linux::request() {
        true => Tiles::Allowed,
        false => Tiles::Refused,
    }
}

/// Whether the process has asked for tiles and got them.
pub(super) fn has() -> bool {
    linux::is_permitted()
}

#[cfg(target_os = "linux")]
mod linux {
    use core::arch::asm;

    const ARCH_GET_XCOMP_PERM: usize = 0x1022;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;

    pub(super) fn request() -> bool {
        arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0
    }

    pub(super) fn is_permitted() -> bool {
        let mut features = 0u64;
        let result = arch_prctl(ARCH_GET_XCOMP_PERM, (&raw mut features).expose_provenance());
        result == 0 && features >> XFEATURE_XTILEDATA & 1 == 1
    }

    /// The system call, for there is no libc on the serving side. `argument` is a number, or with
    /// [`ARCH_GET_XCOMP_PERM`] the address of a `u64`.
    fn arch_prctl(code: usize, argument: usize) -> isize {
        const NUMBER: isize = 158;
        let result;
        // SAFETY: the callers above keep to what the two codes ask for; a kernel that does not know
        // them returns an error.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") NUMBER => result,
                in("rdi") code,
                in("rsi") argument,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack)
            );
        }
        result
    }
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
mod linux {
    pub(super) fn request() -> bool {
        false
    }

    pub(super) fn is_permitted() -> bool {
        false
    }
}
