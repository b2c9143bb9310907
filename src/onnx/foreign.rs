//! Files that are no models, told by what people take for one.

/// What a file is that could not be read as a model, and what to do; `None` where nobody can tell.
pub(super) fn recognise(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let at = |offset: usize, magic: &[u8]| {
        bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    };
    Some(match bytes {
        [] => ("an empty file", "export or download the model again"),
        _ if starts(b"version https://git-lfs") => {
            ("a Git LFS pointer", "fetch the model itself with `git lfs pull`")
        }
        _ if starts(b"PK\x03\x04") => (
            "a ZIP archive, as PyTorch and Keras write them",
            "export the model with torch.onnx.export or tf2onnx, or unpack the archive",
        ),
        [0x80, 2..=5, ..] => {
            ("a Python pickle", "export the model with torch.onnx.export, skl2onnx or onnxmltools")
        }
        _ if starts(b"\x89HDF") => ("an HDF5 file, as Keras writes it", "convert it with tf2onnx"),
        _ if at(4, b"TFL3") => ("a TensorFlow Lite model", "convert it with tf2onnx --tflite"),
        _ if at(4, b"ORTM") => ("a model in ONNX Runtime's own format", "give the ONNX file"),
        _ if starts(b"\x1f\x8b") => ("compressed with gzip", "unpack it first"),
        _ if starts(b"NOWCAST\0") => {
            ("a bundle, which is compiled already", "open it as one (bundle::File)")
        }
        _ if starts(b"GGUF") => ("a GGUF file of weights", "export the model to ONNX"),
        _ if at(8, b"{\"") => ("a safetensors file of weights", "export the model to ONNX"),
        _ if is_text(bytes) => ("text", "give the ONNX file, which is binary"),
        _ => return None,
    })
}

fn is_text(bytes: &[u8]) -> bool {
    let start = bytes.get(..512).unwrap_or(bytes);
    start.iter().all(|b| matches!(b, b'\t' | b'\n' | b'\r' | 32..=126 | 128..))
        && std::str::from_utf8(start).map_or_else(|e| e.error_len().is_none(), |_| true)
}
