//! Forms of the operator sets 1 to 6 that later ones dropped.

use crate::graph::{Dim, Tensor};

use super::super::call::{Call, Imported};

/// The last operator set with forms of its own.
const LAST: i64 = 6;

/// Brings the operands into the form that the importers know, and accounts for the attributes
/// that only these operator sets have. What this does not know is refused by the importers.
pub(super) fn modernize(call: &mut Call) -> Imported<()> {
    if call.version > LAST {
        return Ok(());
    }
    // Which inputs the outputs may take the memory of.
    call.attributes.ignore("consumed_inputs");
    match call.node.op.as_str() {
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "And" | "Or" | "Xor" | "Equal" | "Less"
        | "Greater" => broadcast(call),
        "PRelu" => by_channel(call),
        "Gemm" => {
            // The addend broadcasts either way.
            call.attributes.ignore("broadcast");
            Ok(())
        }
        "BatchNormalization" | "Dropout" => {
            if call.flag("is_test", false)? {
                return Ok(());
            }
            call.refuse("is_test", "is not 1; export the model for inference")
        }
        "Reshape" if call.version < 5 => {
            let shape = call.ints("shape")?;
            let shape = call.required("shape", shape)?;
            let shape = call.constant(Tensor::vector(shape));
            call.inputs.truncate(1);
            call.inputs.push(Some(shape));
            Ok(())
        }
        "Selu" if call.float("alpha")?.is_none() || call.float("gamma")?.is_none() => {
            if call.version == LAST {
                return Ok(());
            }
            call.refuse("alpha", "or gamma is missing, whose default has changed; state both")
        }
        "RNN" | "GRU" | "LSTM" => {
            // Whether the first output is needed, which its name says too.
            call.attributes.ignore("output_sequence");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The second operand lies along the first from `axis` on, or at its end.
fn broadcast(call: &mut Call) -> Imported<()> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let (wide, mut shape) = (call.shape(a), call.shape(b));
    let axis = call.int("axis")?;
    if !call.flag("broadcast", false)? {
        if wide == shape {
            return Ok(());
        }
        return call.refuse("broadcast", "is 0, but the operands differ in shape");
    }
    if let Some(axis) = axis {
        let axis = call.axis(axis, wide.len())?;
        let Some(behind) = wide.len().checked_sub(axis + shape.len()) else {
            return call
                .refuse("axis", format!("is {axis}, behind which the operand does not fit"));
        };
        shape.extend(vec![Dim::Fixed(1); behind]);
    }
    let fits = shape.len() <= wide.len()
        && shape.iter().rev().zip(wide.iter().rev()).all(|(s, w)| s.is(1) || s == w);
    if !fits {
        let (shape, wide) = (call.show(&shape), call.show(&wide));
        return call.fail(format!("{shape} does not broadcast to {wide}"));
    }
    call.inputs[1] = Some(call.reshape(b, shape)?);
    Ok(())
}

/// A slope for each channel lies along the second axis.
fn by_channel(call: &mut Call) -> Imported<()> {
    let (x, slope) = (call.input(0)?, call.input(1)?);
    let (rank, mut shape) = (call.shape(x).len(), call.shape(slope));
    if let [n] = &shape[..]
        && !n.is(1)
        && rank > 2
    {
        shape.extend(vec![Dim::Fixed(1); rank - 2]);
        call.inputs[1] = Some(call.reshape(slope, shape)?);
    }
    Ok(())
}
