//! A forecaster's folder with its model quantized.

use std::path::{Component, Path, PathBuf};

use nowcast::forecast::Description;
use serde_json::Value;

use crate::failure::Failure;
use crate::output;

const DESCRIPTION: &str = "forecaster.json";

/// Writes the folder of a forecaster like the one in `from`, whose model is `onnx`. The description
/// comes last: without it the folder is none.
pub(super) fn write(from: &Path, to: &Path, onnx: &[u8]) -> Result<(), Failure> {
    let io =
        |path: &Path, error: std::io::Error| Failure::User(format!("{}: {error}", path.display()));
    let user = |error: nowcast::forecast::ForecasterError| Failure::User(error.to_string());
    let description = Description::from_folder(from).map_err(user)?;
    std::fs::create_dir_all(to).map_err(|error| io(to, error))?;
    if same(from, to) {
        return Err(Failure::User(format!(
            "{}: this is the folder of the float model: name another",
            to.display()
        )));
    }
    let path = from.join(DESCRIPTION);
    let text = std::fs::read_to_string(&path).map_err(|error| io(&path, error))?;
    let not_json = |error: serde_json::Error| Failure::User(format!("{}: {error}", path.display()));
    let mut json: Value = serde_json::from_str(&text).map_err(not_json)?;
    let covariance = from.join(&description.covariance);
    let covariance = std::fs::read(&covariance).map_err(|error| io(&covariance, error))?;
    output::write_file(&to.join("model.onnx"), onnx)?;
    output::write_file(&to.join("covariance.npy"), &covariance)?;
    if let Value::Object(fields) = &mut json {
        let name = to.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| format!("{}-quantized", description.name));
        fields.insert("name".to_owned(), name.into());
        fields.insert("model".to_owned(), "model.onnx".into());
        fields.insert("covariance".to_owned(), "covariance.npy".into());
        match description.series.and_then(|series| relative(to, &from.join(series))) {
            Some(series) => fields.insert("series".to_owned(), series.into()),
            None => fields.remove("series"),
        };
    }
    let text = serde_json::to_string_pretty(&json).map_err(not_json)?;
    output::write_file(&to.join(DESCRIPTION), (text + "\n").as_bytes())
}

fn same(a: &Path, b: &Path) -> bool {
    a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
}

/// The path of a file from a folder; both exist.
fn relative(folder: &Path, file: &Path) -> Option<String> {
    let (folder, file) = (folder.canonicalize().ok()?, file.canonicalize().ok()?);
    let shared = folder.components().zip(file.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(file.components().skip(shared)).collect();
    Some(path.to_str()?.replace('\\', "/"))
}
