//! Scaled dot-product attention.

use crate::tensor::DType;

use super::super::dim::Dim;
use super::{Fact, Operands, ShapeError};

/// `softmax(masked(scores)) · v` with `scores = scale q · k'`, heads and batches being axes before
/// the last two, broadcast as those of a matrix product.
///
/// Operands: q `[.., queries, size]`, k `[.., keys, size]`, v `[.., keys, width]`, then one operand
/// for each of `masks`, which broadcasts to `[.., queries, keys]`. Result: `[.., queries, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Factor of the scores.
    pub scale: f32,
    /// Scores are bent to `cap tanh(score / cap)`, before any mask; zero leaves them as they are.
    pub softcap: f32,
    /// What the operands from the fourth on do to the scores, one behind the other.
    pub masks: Vec<Mask>,
    /// Query `i` sees the keys up to `i + causal` and no other, whatever these hold.
    pub causal: Option<Dim>,
    /// What queries get that see no key.
    pub unseeing: Unseeing,
}

/// What a mask does to the scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// It is added.
    Add,
    /// Where it is not zero it stands in their place.
    Replace,
}

/// What a query gets whose weights are no numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unseeing {
    /// NaN, as softmax gives it.
    #[default]
    Nan,
    /// Zero weights where all scores are minus infinity.
    Zero,
    /// Zero weights where one of them is NaN, for whatever reason.
    ZeroForNan,
}

impl Attention {
    /// Masks at most.
    pub const MASKS: usize = 4;

    pub(super) fn infer(&self, operands: &Operands<'_>) -> Result<Vec<Fact>, ShapeError> {
        let (q, k, v) = (operands.at(0)?, operands.at(1)?, operands.at(2)?);
        let refuse = |why: &str| {
            let [q, k, v] = [q, k, v].map(|x| operands.show(&x.shape));
            Err(ShapeError(format!("queries {q}, keys {k} and values {v}: {why}")))
        };
        if operands.inputs.iter().flatten().any(|x| x.dtype != DType::F32) {
            return refuse("all must be f32");
        }
        let ([of_q @ .., queries, size], [of_k @ .., keys, of_key], [of_v @ .., of_value, width]) =
            (&q.shape[..], &k.shape[..], &v.shape[..])
        else {
            return refuse("one is no matrix");
        };
        if size != of_key || keys != of_value {
            return refuse("they do not go together");
        }
        let mut batch = operands.broadcast(of_q, of_k)?;
        batch = operands.broadcast(&batch, of_v)?;
        if operands.inputs.len() != 3 + self.masks.len() || self.masks.len() > Self::MASKS {
            return refuse("there is not one operand for each mask, or there are too many");
        }
        let scores = [queries.clone(), keys.clone()];
        for i in 3..operands.inputs.len() {
            let mask = &operands.at(i)?.shape;
            let (outer, inner) = mask.split_at(mask.len().saturating_sub(2));
            if operands.broadcast(inner, &scores)? != scores {
                let mask = operands.show(mask);
                return refuse(&format!("a mask {mask} does not fit the scores"));
            }
            batch = operands.broadcast(&batch, outer)?;
        }
        batch.extend([queries.clone(), width.clone()]);
        Ok(vec![Fact { dtype: DType::F32, shape: batch }])
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::dim::Variable;
    use super::*;
    use crate::graph::{Dim, Op, VarId};

    fn infer(shapes: &[&[i64]], masks: &[Mask]) -> Result<Vec<Dim>, String> {
        let variables = [Variable::chosen("n", 0, 8)];
        let dim = |n: &i64| if *n < 0 { Dim::var(VarId(0)) } else { Dim::Fixed(*n) };
        let inputs: Vec<Option<Fact>> = shapes
            .iter()
            .map(|s| Some(Fact { dtype: DType::F32, shape: s.iter().map(dim).collect() }))
            .collect();
        let op = Op::Attention(Attention {
            scale: 1.0,
            softcap: 0.0,
            masks: masks.to_vec(),
            causal: None,
            unseeing: Unseeing::Nan,
        });
        let mut facts = op.infer(&inputs, &variables).map_err(|e| e.to_string())?;
        Ok(facts.remove(0).shape)
    }

    #[test]
    fn shapes() {
        let fixed = |s: &[i64]| s.iter().map(|n| Dim::Fixed(*n)).collect::<Vec<_>>();
        let plain = infer(&[&[2, 3, 5, 8], &[2, 3, 7, 8], &[2, 3, 7, 4]], &[]);
        assert_eq!(plain, Ok(fixed(&[2, 3, 5, 4])));
        // Heads that share keys, and a mask for each batch.
        let shared = infer(
            &[&[2, 3, 5, 8], &[2, 1, 7, 8], &[7, 4], &[2, 1, 1, 7], &[7]],
            &[Mask::Add, Mask::Replace],
        );
        assert_eq!(shared, Ok(fixed(&[2, 3, 5, 4])));
        let ranged = infer(&[&[1, 8], &[-1, 8], &[-1, 4]], &[]);
        assert_eq!(ranged, Ok(fixed(&[1, 4])));
        for (shapes, masks) in [
            (&[&[5, 8][..], &[7, 6], &[7, 4]][..], &[][..]),
            (&[&[5, 8], &[7, 8], &[6, 4]], &[]),
            (&[&[5, 8], &[7, 8], &[7]], &[]),
            (&[&[5, 8], &[7, 8], &[7, 4], &[6, 7]], &[Mask::Add]),
            (&[&[1, 8], &[7, 8], &[7, 4], &[5, 7]], &[Mask::Add]),
            (&[&[5, 8], &[7, 8], &[7, 4], &[5, 7]], &[]),
            (&[&[3, 5, 8], &[2, 7, 8], &[7, 4]], &[]),
        ] {
            assert!(infer(shapes, masks).is_err(), "{shapes:?}");
        }
    }
}
