//! The child: sets up, locks itself in, serves.

use std::env;
use std::fs;
use std::hint::black_box;
use std::ptr;

use crate::adapter;
use crate::seccomp;
use crate::shared_page::SharedPage;

/// Environment variable that says what to serve.
pub(crate) const WHAT: &str = "NOWCAST_TEST_SERVE";

/// Calls after the first.
pub(crate) const CALLS: usize = 200;

/// Served to test the harness: nothing, one system call, and a first touch of fresh pages.
pub(crate) const NOTHING: &str = "harness: nothing";
pub(crate) const SYSTEM_CALL: &str = "harness: system call";
pub(crate) const FRESH: &str = "harness: fresh pages";

/// Pages that [`FRESH`] touches in its first call.
pub(crate) const FRESH_PAGES: usize = 10;

const PAGE_BYTES: usize = 4096;

/// The points of the protocol, in order. The child stops at each until the parent has read its
/// page faults: the whole protocol once with nothing to serve, so that the code of the harness is
/// paged in, then in earnest.
pub(crate) const REHEARSED: u32 = 3;
pub(crate) const READY: u32 = 4;
pub(crate) const FIRST_CALL: u32 = 5;
pub(crate) const ALL_CALLS: u32 = 6;

/// The whole life of the child.
pub(crate) fn run() {
    let page = SharedPage::inherited();
    let what = env::var(WHAT).expect("only `watch` starts this test");
    // Should the parent die, nobody would let the child go on.
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    match what.as_str() {
        NOTHING => serve_locked_in(page, &mut || {}),
        SYSTEM_CALL => serve_locked_in(page, &mut || {
            // SAFETY: has no precondition. Unlike `getpid` no library answers it from memory.
            black_box(unsafe { libc::getppid() });
        }),
        FRESH => {
            let fresh = fresh_pages();
            serve_locked_in(page, &mut || {
                for i in 0..FRESH_PAGES {
                    // SAFETY: the mapping has that many pages.
                    unsafe { fresh.add(i * PAGE_BYTES).write_volatile(1) };
                }
            });
        }
        model => {
            adapter::with_serving(model, true, &mut |serve| serve_locked_in(page, serve))
                .unwrap_or_else(|failure| panic!("{failure}"));
        }
    }
}

/// Serves behind the filter, point by point, and ends the process.
fn serve_locked_in(page: SharedPage, serve: &mut dyn FnMut()) {
    page_in_program();
    seccomp::enter(page);
    for (rehearsal, serve) in [(REHEARSED, &mut (|| {}) as &mut dyn FnMut()), (0, serve)] {
        // READY, FIRST_CALL and ALL_CALLS less the rehearsal's points.
        page.reach(READY - rehearsal);
        serve();
        page.reach(FIRST_CALL - rehearsal);
        for _ in 0..CALLS {
            serve();
        }
        page.reach(ALL_CALLS - rehearsal);
    }
    seccomp::end(0);
}

/// Maps every page of the program's files: that is the loader's business, which a real-time
/// program settles with `mlockall`. Memory of its own is left as set-up left it: `prefault` and
/// `prepare_thread` have to answer for that.
fn page_in_program() {
    let maps = fs::read_to_string("/proc/self/maps").expect("procfs is mounted");
    for line in maps.lines().filter(|line| line.contains(" /")) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let (start, end) = range.expect("a line of maps starts with a range");
        let parse = |hex| usize::from_str_radix(hex, 16).expect("a range is hexadecimal");
        let (start, end) = (parse(start), parse(end));
        let address = ptr::without_provenance_mut(start);
        // SAFETY: reads pages that are mapped; a mapping without read permission is refused,
        // which is as good.
        unsafe { libc::madvise(address, end - start, libc::MADV_POPULATE_READ) };
    }
}

/// Anonymous memory that nobody has touched.
fn fresh_pages() -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping.
    let address =
        unsafe { libc::mmap(ptr::null_mut(), FRESH_PAGES * PAGE_BYTES, protection, flags, -1, 0) };
    assert_ne!(address, libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
    address.cast()
}
