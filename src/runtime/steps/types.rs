//! From an element type that is data to one that is a parameter.

/// Calls a function generic over the element type for the type of an operand. Small types come as
/// the integers of as many bytes: the check of a kernel that computes refuses them.
macro_rules! by_dtype {
    ($dtype:expr, $f:ident($($arg:expr),* $(,)?)) => {{
        use $crate::tensor::DType;
        match $dtype.plain() {
            DType::F32 => $f::<f32>($($arg),*),
            DType::F64 => $f::<f64>($($arg),*),
            DType::I32 => $f::<i32>($($arg),*),
            DType::I64 => $f::<i64>($($arg),*),
            DType::I8 => $f::<i8>($($arg),*),
            DType::U16 => $f::<u16>($($arg),*),
            DType::I16 => $f::<i16>($($arg),*),
            DType::U32 => $f::<u32>($($arg),*),
            DType::U64 => $f::<u64>($($arg),*),
            _ => $f::<u8>($($arg),*),
        }
    }};
}
pub(crate) use by_dtype;

/// Calls a function that only moves elements for an element of as many bytes.
macro_rules! by_width {
    ($width:expr, $f:ident($($arg:expr),* $(,)?)) => {
        match $width {
            1 => $f::<u8>($($arg),*),
            2 => $f::<u16>($($arg),*),
            4 => $f::<u32>($($arg),*),
            _ => $f::<u64>($($arg),*),
        }
    };
}
pub(crate) use by_width;
