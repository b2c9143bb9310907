use super::*;

fn proto(data_type: i32, dims: &[i64]) -> TensorProto {
    TensorProto { data_type, dims: dims.to_vec(), ..TensorProto::default() }
}

fn raw(data_type: i32, dims: &[i64], raw: &[u8]) -> Result<Tensor, ImportError> {
    decode(&TensorProto { raw_data: Some(raw.to_vec().into()), ..proto(data_type, dims) }, None)
}

fn words(data_type: i32, dims: &[i64], words: &[i32]) -> Result<Tensor, ImportError> {
    decode(&TensorProto { int32_data: words.to_vec(), ..proto(data_type, dims) }, None)
}

fn bytes(tensor: Result<Tensor, ImportError>) -> Vec<u8> {
    tensor.unwrap_or_else(|e| panic!("{e}")).bytes().to_vec()
}

const F16: i32 = 10;
const F8E5M2: i32 = 19;
const U4: i32 = 21;
const U2: i32 = 25;
const F6E2M3: i32 = 27;

#[test]
fn packed_elements_come_lowest_bits_first() {
    assert_eq!(bytes(raw(U4, &[3], &[0x21, 0x03])), [1, 2, 3]);
    assert_eq!(bytes(words(U4, &[3], &[0x21, 0x03])), [1, 2, 3]);
    assert_eq!(bytes(raw(U2, &[5], &[0b11_10_01_00, 0b10])), [0, 1, 2, 3, 2]);
    assert_eq!(bytes(words(U2, &[5], &[0b11_10_01_00, 0b10])), [0, 1, 2, 3, 2]);
    // Four in three bytes.
    let stream = 1u32 | 2 << 6 | 63 << 12 | 32 << 18;
    let packed = [&stream.to_le_bytes()[..3], &[5]].concat();
    assert_eq!(bytes(raw(F6E2M3, &[5], &packed)), [1, 2, 63, 32, 5]);
    assert_eq!(bytes(words(F6E2M3, &[2], &[63, 32])), [63, 32]);
    assert!(bytes(raw(U4, &[0], &[])).is_empty());
    assert_eq!(bytes(raw(U2, &[], &[3])), [3]);
}

#[test]
fn whole_bytes_are_bits() {
    assert_eq!(bytes(raw(F16, &[2], &[0, 0x3c, 1, 0x80])), [0, 0x3c, 1, 0x80]);
    assert_eq!(bytes(words(F16, &[2], &[0x3c00, 0x8001])), [0, 0x3c, 1, 0x80]);
    assert_eq!(bytes(words(F8E5M2, &[2], &[0x7c, 0xff])), [0x7c, 0xff]);
}

#[test]
fn wrong_lengths_and_elements_are_refused() {
    let text = |tensor: Result<Tensor, ImportError>| tensor.expect_err("refused").to_string();
    assert_eq!(
        text(raw(U4, &[3], &[0x21])),
        "tensor \"\": the shape [3] of u4 needs 2 bytes, the file has 1"
    );
    assert_eq!(
        text(words(U2, &[4], &[1, 2])),
        "tensor \"\": the shape [4] of u2 needs 1 elements, the file has 2"
    );
    assert_eq!(text(words(U2, &[4], &[256])), "tensor \"\": 256 is no byte of elements u2");
    assert_eq!(text(words(F6E2M3, &[1], &[64])), "tensor \"\": the element 64 is no f6e2m3");
    assert_eq!(text(words(F16, &[1], &[-1])), "tensor \"\": the element -1 is no f16");
    assert!(text(raw(14, &[1], &[0; 8])).contains("is complex64"));
}
