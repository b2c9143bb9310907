//! A filter that lets a thread end its process and do nothing else.

use std::io::Error;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::{mem, ptr};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, c_int, c_void, siginfo_t,
    sock_filter, sock_fprog,
};

use crate::shared_page::{Notes, SharedPage};

/// `AUDIT_ARCH_*` of linux/audit.h: what `seccomp_data.arch` holds for native calls.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Offsets in `struct seccomp_data` of linux/seccomp.h.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;

/// Offset of `si_syscall` in the kernel's `siginfo_t` on 64-bit hosts.
const SIGINFO_NUMBER_AT: usize = 24;

static NOTES: AtomicPtr<Notes> = AtomicPtr::new(ptr::null_mut());

/// From here on the first system call of this thread is noted on `page` and ends the process.
/// There is no way back.
pub(crate) fn enter(page: SharedPage) {
    NOTES.store(ptr::from_ref(page.notes()).cast_mut(), Ordering::Release);
    // SAFETY: zero is a valid `sigaction`: no flags, empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = note_and_end as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler has the signature that SA_SIGINFO asks for and calls only `_exit`.
    let handled = unsafe { libc::sigaction(libc::SIGSYS, &action, ptr::null_mut()) };
    assert_eq!(handled, 0, "sigaction: {}", Error::last_os_error());

    let load = (BPF_LD | BPF_W | BPF_ABS) as u16;
    let equal = (BPF_JMP | BPF_JEQ | BPF_K) as u16;
    let give = (BPF_RET | BPF_K) as u16;
    let line = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let mut filter = [
        line(load, 0, 0, ARCHITECTURE_AT),
        line(equal, 1, 0, ARCHITECTURE),
        line(give, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        line(load, 0, 0, NUMBER_AT),
        line(equal, 0, 1, libc::SYS_exit_group as u32),
        line(give, 0, 0, libc::SECCOMP_RET_ALLOW),
        // A signal and not the end at once, so that the handler can say which call it was.
        line(give, 0, 0, libc::SECCOMP_RET_TRAP),
    ];
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: plain numbers.
    let locked = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(locked, 0, "prctl: {}", Error::last_os_error());
    // SAFETY: `program` points to a filter that outlives the call.
    let filtered = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    assert_eq!(filtered, 0, "seccomp: {}", Error::last_os_error());
}

/// The handler of SIGSYS, which the kernel raises instead of a filtered call.
extern "C" fn note_and_end(_signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel passes a `siginfo_t` of a SIGSYS, which has the number there.
    let number = unsafe { info.cast::<u8>().add(SIGINFO_NUMBER_AT).cast::<c_int>().read() };
    // SAFETY: `enter` stored the address of a page that is never unmapped.
    let notes = unsafe { &*NOTES.load(Ordering::Acquire) };
    notes.system_call.store(number + 1, Ordering::Release);
    end(1);
}

/// Ends the process by the one call that is allowed.
pub(crate) fn end(status: c_int) -> ! {
    // SAFETY: ends the process without running anything else of it.
    unsafe { libc::_exit(status) }
}
