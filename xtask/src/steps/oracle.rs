//! The oracle: ONNX Runtime and the ONNX node suite, installed in `.oracle/`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::context::{Context, Failure, Outcome, Stamp, output, run};

/// The Python that has the packages of the oracle.
pub(crate) fn python(context: &Context) -> PathBuf {
    context.oracle.join("venv/bin/python")
}

/// Installs the pinned packages of tests/oracle/requirements.txt; does nothing if they are there.
pub(crate) fn install(context: &Context) -> Outcome {
    let requirements = context.root.join("tests/oracle/requirements.txt");
    let venv = context.oracle.join("venv");
    let stamp = Stamp::new(context.oracle.join("venv.stamp"), std::slice::from_ref(&requirements))?;
    if stamp.is_current() && python(context).exists() && runtime_library(context).is_ok() {
        println!("    already installed");
        return Ok(());
    }
    stamp.clear();
    environment(context, &venv, &["--no-deps", "--only-binary", ":all:"], &requirements)?;
    runtime_library(context)?;
    stamp.set()
}

/// Installs the pinned packages of benches/peers/requirements.txt; does nothing if they are there.
/// Returns their Python.
pub(crate) fn drawing_peers(context: &Context) -> Outcome<PathBuf> {
    let requirements = context.root.join("benches/peers/requirements.txt");
    let venv = context.oracle.join("sampling");
    let python = venv.join("bin/python");
    let stamp = context.oracle.join("sampling.stamp");
    let stamp = Stamp::new(stamp, std::slice::from_ref(&requirements))?;
    if !stamp.is_current() || !python.exists() {
        stamp.clear();
        environment(context, &venv, &["--no-deps", "--only-binary", ":all:"], &requirements)?;
        stamp.set()?;
    }
    Ok(python)
}

/// Makes a Python environment anew, with packages pinned in a file.
pub(crate) fn environment(
    context: &Context,
    venv: &Path,
    options: &[&str],
    requirements: &Path,
) -> Outcome {
    if venv.exists() {
        fs::remove_dir_all(venv).map_err(|error| Failure::io(venv, &error))?;
    }
    fs::create_dir_all(&context.oracle).map_err(|error| Failure::io(&context.oracle, &error))?;
    // pip of the host installs into the environment: one without a pip of its own can be made
    // where Python comes without `ensurepip`.
    let host = Context::tool("PYTHON", "python3");
    run(
        context.command(&host).args(["-m", "venv", "--without-pip"]).arg(venv),
        "Python 3.11 or later is needed (set PYTHON to name it)",
    )?;
    run(
        context
            .command(&host)
            .args(["-m", "pip", "--python"])
            .arg(venv.join("bin/python"))
            .args(["install", "--quiet"])
            .args(options)
            .arg("--requirement")
            .arg(requirements),
        "pip 22.3 or later is needed and, on the first run, a network",
    )
}

/// Writes the node suite to `.oracle/node`, and models of single operators with ONNX Runtime's
/// answers to `.oracle/single/node`; does nothing if they are there.
pub(crate) fn node_suite(context: &Context) -> Outcome {
    export(context, "export_node_suite.py", "node")?;
    export(context, "single_operators.py", "single/node")
}

/// Has a script of tests/oracle write cases to a folder of the oracle.
fn export(context: &Context, script: &str, to: &str) -> Outcome {
    let script = context.root.join("tests/oracle").join(script);
    let requirements = context.root.join("tests/oracle/requirements.txt");
    let folder = context.oracle.join(to);
    fs::create_dir_all(&folder).map_err(|error| Failure::io(&folder, &error))?;
    let stamp = folder.with_extension("stamp");
    let stamp = Stamp::new(stamp, &[requirements, script.clone()])?;
    if stamp.is_current() && folder.join("index.json").exists() {
        println!("    already exported");
        return Ok(());
    }
    stamp.clear();
    let report = output(
        context.command(python(context)).arg(&script).arg(&folder),
        "the cases were not exported",
    )?;
    print!("    {report}");
    stamp.set()
}

/// Writes what ONNX Runtime rewrites, with its answers, to `.oracle/contrib`; does nothing if it is
/// there.
pub(crate) fn contrib(context: &Context) -> Outcome {
    let scripts = context.root.join("tests/oracle");
    let models = context.root.join("models/families");
    let sources = ["requirements.txt", "contrib.py", "contrib_nodes.py", "contrib_models.py"];
    let mut sources: Vec<PathBuf> = sources.iter().map(|name| scripts.join(name)).collect();
    sources.push(models.join("make_families.py"));
    let folder = context.oracle.join("contrib");
    let stamp = Stamp::new(context.oracle.join("contrib.stamp"), &sources)?;
    if stamp.is_current() && folder.join("index.json").exists() {
        println!("    already written");
        return Ok(());
    }
    stamp.clear();
    let mut command = context.command(python(context));
    command.arg(scripts.join("contrib.py")).arg(&folder).arg(&models);
    let report = output(&mut command, "ONNX Runtime did not rewrite the models")?;
    print!("    {report}");
    stamp.set()
}

/// Compares src/onnx/functions.onnx with the function bodies of the pinned onnx.
pub(crate) fn functions(context: &Context) -> Outcome {
    let script = context.root.join("tests/oracle/export_functions.py");
    let (ours, fresh) =
        (context.root.join("src/onnx/functions.onnx"), context.oracle.join("functions.onnx"));
    run(
        context.command(python(context)).arg(&script).arg(&fresh),
        "the function bodies were not exported",
    )?;
    let read = |path: &PathBuf| fs::read(path).map_err(|error| Failure::io(path, &error));
    if read(&ours)? == read(&fresh)? {
        return Ok(());
    }
    Err(Failure::new(format!(
        "src/onnx/functions.onnx is not what the pinned onnx has: copy {} over it",
        fresh.display()
    )))
}

/// The shared library of ONNX Runtime inside its wheel.
pub(crate) fn runtime_library(context: &Context) -> Outcome<PathBuf> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    entries(context.oracle.join("venv/lib"))
        .flat_map(|python| entries(python.path().join("site-packages/onnxruntime/capi")))
        .map(|file| file.path())
        .find(|path| {
            path.file_name().is_some_and(|name| {
                let name = name.to_string_lossy();
                name.starts_with("libonnxruntime.so") || name.starts_with("libonnxruntime.1")
            })
        })
        .ok_or_else(|| {
            Failure::new("ONNX Runtime's library is not in .oracle/venv; delete .oracle and retry")
        })
}
