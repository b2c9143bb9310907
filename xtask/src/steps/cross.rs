//! Compilers and emulators for other targets: Debian's packages.
//!
//! The compiler is Debian's because it comes with the sources of the standard library, which the
//! targets without one prebuilt need. It is not the one that builds the rest, so it has a target
//! folder of its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::context::{Context, Failure, Outcome, output, run};

/// Compiler, build tool and the sources of the standard library.
pub(crate) const COMPILER: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// Installs what is missing of these packages, of which `package:arch` names one of another
/// architecture.
pub(crate) fn install(context: &Context, packages: &[&str]) -> Outcome {
    let missing: Vec<&str> =
        packages.iter().copied().filter(|package| !is_installed(context, package)).collect();
    if missing.is_empty() {
        println!("    already installed: {}", packages.join(" "));
        return Ok(());
    }
    let sentence = format!("install the Debian packages {}", missing.join(" "));
    for arch in missing.iter().filter_map(|package| package.split_once(':')).map(|(_, arch)| arch) {
        let known = context.command("dpkg").arg("--print-foreign-architectures").output();
        let known = known.is_ok_and(|known| {
            String::from_utf8_lossy(&known.stdout).lines().any(|line| line == arch)
        });
        if !known {
            let add = format!("run `dpkg --add-architecture {arch}`, then {sentence}");
            run(as_root(context, "dpkg")?.args(["--add-architecture", arch]), &add)?;
        }
    }
    run(as_root(context, "apt-get")?.args(["update", "-qq"]), &sentence)?;
    // Nothing of the system is removed for a test.
    run(
        as_root(context, "apt-get")?
            .args(["install", "--yes", "-qq", "--no-install-recommends", "--no-remove"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null()),
        &sentence,
    )
}

fn is_installed(context: &Context, package: &str) -> bool {
    let mut query = context.command("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status}", package]);
    output(&mut query, "").is_ok_and(|status| status == "installed")
}

/// A command that runs as root, through sudo if we are somebody else.
fn as_root(context: &Context, program: &str) -> Outcome<Command> {
    let user = output(context.command("id").arg("-u"), "who runs this is not known")?;
    if user.trim() == "0" {
        return Ok(context.command(program));
    }
    let mut command = context.command("sudo");
    command.arg(program);
    Ok(command)
}

/// QEMU for whole machines with an ARM CPU, ended after five minutes: the one in the path, or one
/// unpacked beside the sources. It is not installed because its packages exclude those of another
/// release of QEMU that a machine may have.
pub(crate) fn qemu_system_arm(context: &Context) -> Outcome<Command> {
    const PROGRAM: &str = "qemu-system-arm";
    let emulator = |program: &Path| {
        let mut command = context.command("timeout");
        command.arg("300").arg(program);
        command
    };
    let works = |mut command: Command| {
        command.arg("--version").output().is_ok_and(|output| output.status.success())
    };
    if works(emulator(Path::new(PROGRAM))) {
        return Ok(emulator(Path::new(PROGRAM)));
    }
    let folder = context.oracle.join("qemu");
    let unpacked = || {
        let mut command = emulator(&folder.join("usr/bin").join(PROGRAM));
        let libraries = ["usr/lib", "lib"].map(|lib| subfolders(&folder.join(lib))).concat();
        let libraries: Vec<_> = libraries.into_iter().map(PathBuf::into_os_string).collect();
        command.env("LD_LIBRARY_PATH", libraries.join(OsStr::new(":")));
        command
    };
    if !works(unpacked()) {
        download(context, PROGRAM, &folder)?;
    }
    if works(unpacked()) {
        return Ok(unpacked());
    }
    Err(Failure::new(format!("{PROGRAM} does not start from .oracle/qemu: install it")))
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Unpacks a package, and those it needs that are not installed, into `folder`.
fn download(context: &Context, package: &str, folder: &Path) -> Outcome {
    let sentence = format!("install {package}");
    let archives = folder.join("archives");
    let partial = archives.join("partial");
    fs::create_dir_all(&partial).map_err(|error| Failure::io(&partial, &error))?;
    run(as_root(context, "apt-get")?.args(["update", "-qq"]), &sentence)?;
    let mut cache = OsString::from("Dir::Cache::archives=");
    cache.push(&archives);
    run(
        as_root(context, "apt-get")?
            .args(["install", "--yes", "-qq", "--no-install-recommends", "--download-only"])
            .arg("-o")
            .arg(cache)
            .arg(package)
            .stdout(Stdio::null()),
        &sentence,
    )?;
    let entries = fs::read_dir(&archives).map_err(|error| Failure::io(&archives, &error))?;
    for archive in entries.flatten().map(|entry| entry.path()) {
        if archive.extension().is_some_and(|extension| extension == "deb") {
            run(context.command("dpkg-deb").arg("--extract").arg(&archive).arg(folder), &sentence)?;
        }
    }
    fs::remove_dir_all(&archives).map_err(|error| Failure::io(&archives, &error))
}

/// Debian's cargo and rustc, starting in `folder`, for `target`. Flags that were meant for the
/// compiler that builds us do not reach it.
pub(crate) fn cargo(context: &Context, folder: &Path, verb: &str, target: &str) -> Command {
    let mut command = context.command("/usr/bin/cargo");
    command
        .current_dir(folder)
        .args([verb, "--quiet", "--target", target])
        .arg("--target-dir")
        .arg(context.target().join("cross"))
        .env("RUSTC", "/usr/bin/rustc")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}
