//! Files that people take for models: each is called by its name.

use nowcast::graph::Bindings;
use nowcast::onnx::import;

fn refused(bytes: &[u8]) -> String {
    import(bytes, None, &Bindings::default(), &mut |_, _, _| None).unwrap_err().to_string()
}

#[test]
fn each_by_its_name() {
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    for (bytes, sentence) in [
        (&[][..], "this is an empty file, not an ONNX model: export or download the model again"),
        (
            lfs,
            "this is a Git LFS pointer, not an ONNX model: fetch the model itself with \
             `git lfs pull`",
        ),
        (
            b"PK\x03\x04\x00\x00archive/data.pkl",
            "this is a ZIP archive, as PyTorch and Keras write them, not an ONNX model: export \
             the model with torch.onnx.export or tf2onnx, or unpack the archive",
        ),
        (
            b"\x80\x04\x95model",
            "this is a Python pickle, not an ONNX model: export the model with \
             torch.onnx.export, skl2onnx or onnxmltools",
        ),
        (
            b"\x89HDF\r\n\x1a\n",
            "this is an HDF5 file, as Keras writes it, not an ONNX model: convert it with tf2onnx",
        ),
        (
            b"\x1c\x00\x00\x00TFL3",
            "this is a TensorFlow Lite model, not an ONNX model: convert it with tf2onnx --tflite",
        ),
        (b"\x1f\x8b\x08", "this is compressed with gzip, not an ONNX model: unpack it first"),
        (b"import torch\n", "this is text, not an ONNX model: give the ONNX file, which is binary"),
    ] {
        assert_eq!(refused(bytes), sentence);
    }
}
