//! The parent: starts the child, reads its page faults at each point, and lets it go on.

use std::env;
use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::child::{ALL_CALLS, FIRST_CALL, READY, WHAT};
use crate::shared_page::{DESCRIPTOR, SharedPage};

/// Longest time between two points, set-up included.
const LIMIT: Duration = Duration::from_secs(60);

/// How a child ended.
#[derive(Debug)]
pub(crate) enum Report {
    /// It served; page faults in the first call and in those after it.
    Served { first: u64, later: u64 },
    /// It made the system call with this number.
    SystemCall(i64),
    /// It ended otherwise, or not at all.
    Died(String),
}

/// Serves `what` in a child and watches it.
pub(crate) fn watch(what: &str) -> Report {
    let (page, descriptor) = SharedPage::create();
    let program = env::current_exe().expect("this test has a path");
    let mut child = Command::new(program)
        // One test thread: the test runs on the main thread, the only one of the child.
        .args(["serving_child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(WHAT, what)
        .env(DESCRIPTOR, descriptor.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test can be started");
    // SAFETY: the child has inherited it, and the mapping stays.
    unsafe { libc::close(descriptor) };

    let mut faults = [0; ALL_CALLS as usize + 1];
    for point in 1..=ALL_CALLS {
        if let Err(report) = wait_for(point, page, &mut child) {
            return report;
        }
        faults[point as usize] = page_faults(&child);
        page.notes().allowed.store(point, Ordering::Release);
    }
    match child.wait() {
        Ok(status) if status.success() => Report::Served {
            first: faults[FIRST_CALL as usize] - faults[READY as usize],
            later: faults[ALL_CALLS as usize] - faults[FIRST_CALL as usize],
        },
        other => Report::Died(format!("{other:?}")),
    }
}

fn wait_for(point: u32, page: SharedPage, child: &mut Child) -> Result<(), Report> {
    let start = Instant::now();
    while page.notes().reached.load(Ordering::Acquire) < point {
        if let Ok(Some(status)) = child.try_wait() {
            let number = page.notes().system_call.load(Ordering::Acquire);
            if number != 0 {
                return Err(Report::SystemCall(i64::from(number) - 1));
            }
            let mut errors = String::new();
            if let Some(stderr) = &mut child.stderr {
                // What cannot be read is not reported.
                let _ = stderr.read_to_string(&mut errors);
            }
            return Err(Report::Died(format!("{status}\n{errors}")));
        }
        if start.elapsed() > LIMIT {
            // It may have ended meanwhile.
            let _ = child.kill();
            let _ = child.wait();
            return Err(Report::Died(format!("no progress in {} s", LIMIT.as_secs())));
        }
        sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Minor and major page faults of the child so far.
fn page_faults(child: &Child) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("the child lives");
    // The second field is a name in parentheses that may hold anything; the third follows it.
    let (_, fields) = text.rsplit_once(") ").expect("as proc(5) says");
    let field = |number: usize| -> u64 {
        let text = fields.split(' ').nth(number - 3).expect("as proc(5) says");
        text.parse().expect("a count")
    };
    field(10) + field(12)
}
