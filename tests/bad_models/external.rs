//! External data: only files inside the model's folder are read.

use std::fs;
use std::path::{Path, PathBuf};

use nowcast::graph::Bindings;
use nowcast::onnx::{import, proto::StringStringEntryProto};
use prost::Message;

use super::fixture::{floats, node};
use super::{TensorProto, through};

/// A folder of its own with a model's folder, a data file of 24 bytes in it, and one beside it.
fn folder(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::remove_dir_all(&root).ok();
    fs::create_dir_all(root.join("model")).unwrap();
    fs::write(root.join("model/data.bin"), [0; 24]).unwrap();
    fs::write(root.join("secret.bin"), [0; 24]).unwrap();
    root.join("model")
}

/// The error of a model whose constant of 24 bytes lies in `location`; `None` where it loads.
fn load(folder: Option<&Path>, location: &str, more: &[(&str, &str)]) -> Option<String> {
    let entry = |(key, value): (&str, &str)| StringStringEntryProto {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let mut external_data = vec![entry(("location", location))];
    external_data.extend(more.iter().copied().map(entry));
    let constant = TensorProto { external_data, data_location: 1, ..floats("w", &[2, 3], &[]) };
    let model = through(vec![node("Add", &["x", "w"], &["y"])], vec![constant]);
    let bytes = model.encode_to_vec();
    import(&bytes, folder, &Bindings::default(), &mut |_, _, _| None).err().map(|e| e.to_string())
}

#[test]
fn inside() {
    let folder = folder("inside");
    assert_eq!(load(Some(&folder), "data.bin", &[]), None);
    assert_eq!(load(Some(&folder), "data.bin", &[("offset", "0"), ("length", "24")]), None);
}

#[test]
fn outside() {
    let folder = folder("outside");
    let secret = folder.parent().unwrap().join("secret.bin");
    let absolute = secret.to_str().unwrap();
    for location in ["../secret.bin", absolute, "model/../../secret.bin", "./../secret.bin", ""] {
        assert_eq!(
            load(Some(&folder), location, &[]),
            Some(format!(
                "tensor \"w\": its external file {location:?} lies outside the model's folder"
            ))
        );
    }
}

#[test]
#[cfg(unix)]
fn behind_a_link() {
    let folder = folder("link");
    std::os::unix::fs::symlink("../secret.bin", folder.join("link.bin")).unwrap();
    assert_eq!(
        load(Some(&folder), "link.bin", &[]).unwrap(),
        "tensor \"w\": its external file \"link.bin\" lies outside the model's folder"
    );
}

#[test]
fn missing_or_short() {
    let folder = folder("short");
    let missing = load(Some(&folder), "none.bin", &[]).unwrap();
    assert_eq!(
        missing,
        "tensor \"w\": its external file \"none.bin\" is missing; put it beside the model"
    );
    let text = |more| load(Some(&folder), "data.bin", more).unwrap();
    assert_eq!(
        text(&[("offset", "1")]),
        "tensor \"w\": its 24 bytes at 1 end behind the 24 bytes of \"data.bin\""
    );
    assert_eq!(
        text(&[("offset", "18446744073709551615")]),
        "tensor \"w\": its 24 bytes at 18446744073709551615 end behind the 24 bytes of \"data.bin\""
    );
    assert_eq!(
        text(&[("length", "20")]),
        "tensor \"w\": the shape [2, 3] needs 24 bytes, its external data has 20"
    );
    assert_eq!(
        text(&[("offset", "-4")]),
        "tensor \"w\": the offset \"-4\" of its external data is no number; export the model again"
    );
    assert_eq!(
        load(None, "data.bin", &[]).unwrap(),
        "tensor \"w\": its data lies in the file \"data.bin\"; load the model from a path, not \
         from bytes"
    );
}

#[test]
#[cfg(unix)]
fn no_plain_file() {
    let folder = folder("special");
    std::os::unix::fs::symlink("/dev/zero", folder.join("zero")).unwrap();
    fs::create_dir(folder.join("inner")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.join("fifo")).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo is there");
    let text = |location: &str| load(Some(&folder), location, &[]).unwrap();
    assert!(text("zero").ends_with("lies outside the model's folder"));
    for location in ["inner", "fifo"] {
        assert_eq!(
            text(location),
            format!("tensor \"w\": its external file {location:?} is not a file")
        );
    }
    assert!(text("data\0.bin").starts_with("tensor \"w\": its external file"));
    assert!(load(Some(&folder), "data.bin", &[("length", "18446744073709551615")]).is_some());
}
