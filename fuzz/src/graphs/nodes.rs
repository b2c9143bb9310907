//! One node over values that are there: an operator, operands that may suit it, attributes.

use nowcast::onnx::proto::{AttributeProto, NodeProto};
use nowcast::tensor::DType;

use super::{Draft, Model, Value, code, float, int, ints, text};
use crate::choices::Choices;

/// Functions of one element that round, of floats.
const ROUNDED: &[&str] = &[
    "Sqrt",
    "Reciprocal",
    "Exp",
    "Log",
    "Tanh",
    "Sigmoid",
    "Erf",
    "Gelu",
    "Softplus",
    "Softsign",
    "Elu",
    "Selu",
    "Celu",
    "HardSigmoid",
    "HardSwish",
    "Mish",
    "Sin",
    "Cos",
    "Atan",
    "Asinh",
    "LeakyRelu",
];
/// Functions of one element that do not.
const EXACT: &[&str] =
    &["Identity", "Neg", "Abs", "Relu", "Floor", "Ceil", "Round", "Sign", "Not", "BitwiseNot"];
const ARITHMETIC: &[&str] = &["Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "Mod", "PRelu"];
const BITS: &[&str] = &["BitwiseAnd", "BitwiseOr", "BitwiseXor", "And", "Or", "Xor"];
const COMPARE: &[&str] = &["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"];
const REDUCE: &[&str] = &[
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSumExp",
];

/// What a draft is built with.
struct Pen<'p, 'c> {
    model: &'p mut Model,
    choices: &'p mut Choices<'c>,
}

/// A node, where the values there are and the bytes allow one.
pub(super) fn draft(model: &mut Model, choices: &mut Choices<'_>) -> Option<Draft> {
    let mut pen = Pen { model, choices };
    match pen.choices.below(16) {
        0 => pen.unary(ROUNDED, false),
        1 => pen.unary(EXACT, true),
        2 => pen.binary(ARITHMETIC, false),
        3 => pen.binary(BITS, true),
        4 => pen.binary(COMPARE, true),
        5 => pen.choose(),
        6 | 7 => pen.movement(),
        8 => pen.order(),
        9 => pen.reduce(),
        10 => pen.index(),
        11 => pen.product(),
        12 => pen.window(),
        13 => pen.normalize(),
        14 => pen.recurrent(),
        _ => pen.quantize(),
    }
}

impl Pen<'_, '_> {
    fn any(&mut self) -> Value {
        let at = self.choices.below(self.model.values.len());
        self.model.values[at].clone()
    }

    /// A value for which `suits` holds.
    fn pick(&mut self, suits: impl Fn(&Value) -> bool) -> Option<Value> {
        let suited: Vec<&Value> = self.model.values.iter().filter(|v| suits(v)).collect();
        let at = self.choices.below(suited.len());
        suited.get(at).map(|v| (*v).clone())
    }

    fn axis(&mut self, x: &Value) -> usize {
        self.choices.below(x.shape.len())
    }

    /// A constant of small numbers.
    fn weights(&mut self, dtype: DType, shape: &[i64]) -> Option<String> {
        let len = usize::try_from(shape.iter().product::<i64>()).ok().filter(|n| *n <= 4096)?;
        let seed = u32::from(self.choices.byte());
        let mut random = crate::choices::Random::new(seed);
        let unit = if dtype.is_float() { 8.0 } else { 1.0 };
        let low = if matches!(dtype, DType::U8 | DType::Bool) { 0.0 } else { -8.0 };
        let high = if dtype == DType::Bool { 2 } else { 17 };
        let numbers: Vec<f64> =
            (0..len).map(|_| (random.below(high) as f64 + low) / unit).collect();
        Some(self.model.constant(dtype, shape, &numbers))
    }

    fn node(
        &mut self,
        operator: &str,
        inputs: Vec<String>,
        attribute: Vec<AttributeProto>,
        results: Vec<DType>,
        exact: bool,
    ) -> Option<Draft> {
        let first = self.model.values.len();
        let output = (0..results.len()).map(|i| format!("v{}", first + i)).collect();
        let op_type = operator.to_owned();
        let node = NodeProto { op_type, input: inputs, output, attribute, ..NodeProto::default() };
        Some(Draft { node, results, exact })
    }

    fn unary(&mut self, operators: &[&str], exact: bool) -> Option<Draft> {
        let x = self.any();
        let operator = operators[self.choices.below(operators.len())];
        self.node(operator, vec![x.name], Vec::new(), vec![x.dtype], exact)
    }

    fn binary(&mut self, operators: &[&str], exact: bool) -> Option<Draft> {
        let a = self.any();
        let operator = operators[self.choices.below(operators.len())];
        let b = if self.choices.one_in(3) {
            let shape: Vec<i64> = a.shape.iter().map(|n| n.unwrap_or(1)).collect();
            let skip = self.choices.below(shape.len() + 1);
            self.weights(a.dtype, &shape[skip..])?
        } else {
            self.pick(|v| v.dtype == a.dtype)?.name
        };
        let compares = COMPARE.contains(&operator);
        let result = if compares { DType::Bool } else { a.dtype };
        let exact = exact || matches!(operator, "Min" | "Max") || !a.dtype.is_float();
        let names = if self.choices.one_in(2) { vec![a.name, b] } else { vec![b, a.name] };
        self.node(operator, names, Vec::new(), vec![result], exact)
    }

    fn choose(&mut self) -> Option<Draft> {
        if self.choices.one_in(2) {
            let to = [DType::F32, DType::F64, DType::I64, DType::I32, DType::U8, DType::Bool];
            let (x, to) = (self.any(), to[self.choices.below(6)]);
            let attributes = vec![int("to", code(to).into())];
            return self.node("Cast", vec![x.name], attributes, vec![to], true);
        }
        let (c, a) = (self.pick(|v| v.dtype == DType::Bool)?, self.any());
        let b = self.pick(|v| v.dtype == a.dtype)?;
        self.node("Where", vec![c.name, a.name, b.name], Vec::new(), vec![a.dtype], true)
    }

    fn movement(&mut self) -> Option<Draft> {
        let x = self.any();
        let rank = x.shape.len();
        let small = |c: &mut Choices<'_>, low: i64| c.below(6) as i64 + low;
        let (mut inputs, mut attributes) = (vec![x.name.clone()], Vec::new());
        let operator = match self.choices.below(9) {
            0 => {
                let mut perm: Vec<i64> = (0..rank as i64).collect();
                for i in 1..rank {
                    perm.swap(i, self.choices.below(i + 1));
                }
                attributes.push(ints("perm", perm));
                "Transpose"
            }
            1 => {
                let mut shape: Vec<i64> = x.shape.iter().map(|n| n.unwrap_or(0)).collect();
                let at = self.choices.below(rank + 1);
                match self.choices.below(3) {
                    0 => shape.insert(at, -1),
                    1 if rank > 1 => {
                        shape.remove(at % rank);
                        shape[0] = -1;
                    }
                    _ => shape = vec![-1],
                }
                inputs.push(self.model.numbers(&shape));
                "Reshape"
            }
            2 => {
                let axis = self.choices.below(rank + 1) as i64;
                inputs.push(self.model.numbers(&[axis]));
                "Unsqueeze"
            }
            3 => {
                let axes: Vec<i64> = (0..rank as i64).filter(|_| self.choices.one_in(2)).collect();
                let mut of =
                    |low| axes.iter().map(|_| small(self.choices, low)).collect::<Vec<_>>();
                let (starts, ends) = (of(-3), of(-1));
                let steps: Vec<i64> =
                    axes.iter().map(|_| [1, 2, -1, -2, 1][self.choices.below(5)]).collect();
                for numbers in [starts, ends, axes, steps] {
                    inputs.push(self.model.numbers(&numbers));
                }
                "Slice"
            }
            4 => {
                let pads: Vec<i64> = (0..2 * rank).map(|_| small(self.choices, -1) % 3).collect();
                inputs.push(self.model.numbers(&pads));
                let mode = ["constant", "reflect", "edge", "wrap"][self.choices.below(4)];
                attributes.push(text("mode", mode));
                "Pad"
            }
            5 => {
                let times: Vec<i64> = (0..rank).map(|_| small(self.choices, 0) % 4).collect();
                inputs.push(self.model.numbers(&times));
                "Tile"
            }
            6 => {
                let mut shape: Vec<i64> = x.shape.iter().map(|n| n.unwrap_or(1)).collect();
                shape.insert(0, small(self.choices, 0));
                inputs.push(self.model.numbers(&shape));
                "Expand"
            }
            7 => {
                let other = self.pick(|v| v.dtype == x.dtype && v.shape.len() == rank)?;
                inputs.push(other.name);
                attributes.push(int("axis", self.axis(&x) as i64));
                "Concat"
            }
            _ => {
                attributes.push(int("upper", self.choices.below(2) as i64));
                "Trilu"
            }
        };
        self.node(operator, inputs, attributes, vec![x.dtype], true)
    }

    fn order(&mut self) -> Option<Draft> {
        let x = self.any();
        let axis = self.axis(&x);
        let along = int("axis", axis as i64);
        match self.choices.below(3) {
            0 => {
                let k = self.choices.below(4) as i64;
                let k = self.model.numbers(&[k]);
                let largest = int("largest", self.choices.below(2) as i64);
                let results = vec![x.dtype, DType::I64];
                self.node("TopK", vec![x.name, k], vec![along, largest], results, true)
            }
            1 => {
                let operator = ["ArgMax", "ArgMin"][self.choices.below(2)];
                let keep = int("keepdims", self.choices.below(2) as i64);
                let last = int("select_last_index", self.choices.below(2) as i64);
                let attributes = vec![along, keep, last];
                self.node(operator, vec![x.name], attributes, vec![DType::I64], true)
            }
            _ => {
                let axis = self.model.constant(DType::I64, &[], &[axis as f64]);
                let flags = ["exclusive", "reverse"];
                let flags = flags.map(|name| int(name, self.choices.below(2) as i64)).to_vec();
                self.node("CumSum", vec![x.name, axis], flags, vec![x.dtype], !x.dtype.is_float())
            }
        }
    }

    fn reduce(&mut self) -> Option<Draft> {
        let x = self.any();
        let operator = REDUCE[self.choices.below(REDUCE.len())];
        let axes: Vec<i64> = (0..x.shape.len() as i64).filter(|_| self.choices.one_in(2)).collect();
        let axes = self.model.numbers(&axes);
        let keep = int("keepdims", self.choices.below(2) as i64);
        let exact = matches!(operator, "ReduceMax" | "ReduceMin");
        self.node(operator, vec![x.name, axes], vec![keep], vec![x.dtype], exact)
    }

    fn index(&mut self) -> Option<Draft> {
        let x = self.any();
        let axis = self.axis(&x);
        let shape: Vec<i64> = x.shape.iter().map(|n| n.unwrap_or(2)).collect();
        let along = vec![int("axis", axis as i64)];
        let index = |pen: &mut Self, shape: &[i64]| {
            let len = usize::try_from(shape.iter().product::<i64>()).ok().filter(|n| *n < 999)?;
            // Now and then out of range.
            let numbers: Vec<f64> = (0..len).map(|_| pen.choices.below(9) as f64 - 4.0).collect();
            Some(pen.model.constant(DType::I64, shape, &numbers))
        };
        match self.choices.below(4) {
            0 => {
                let extents = [self.choices.below(4) as i64, 2];
                let skip = self.choices.below(2);
                let indices = index(self, &extents[skip..])?;
                self.node("Gather", vec![x.name, indices], along, vec![x.dtype], true)
            }
            1 => {
                let indices = index(self, &shape)?;
                self.node("GatherElements", vec![x.name, indices], along, vec![x.dtype], true)
            }
            2 => {
                let (indices, updates) = (index(self, &shape)?, self.weights(x.dtype, &shape)?);
                let how = ["none", "add", "mul", "min", "max"][self.choices.below(5)];
                let attributes = [along, vec![text("reduction", how)]].concat();
                let inputs = vec![x.name, indices, updates];
                self.node("ScatterElements", inputs, attributes, vec![x.dtype], false)
            }
            _ => {
                let depth = self.model.constant(DType::I64, &[], &[3.0]);
                let values = self.model.constant(DType::F32, &[2], &[0.0, 1.0]);
                let x = self.pick(|v| v.dtype == DType::I64)?;
                let inputs = vec![x.name, depth, values];
                self.node("OneHot", inputs, Vec::new(), vec![DType::F32], true)
            }
        }
    }

    fn product(&mut self) -> Option<Draft> {
        let a = self.pick(|v| v.dtype.is_float())?;
        let depth = (*a.shape.last()?)?;
        let cols = [1, 3, 16, 17][self.choices.below(4)];
        if self.choices.one_in(3) {
            let b = self.pick(|v| v.dtype == a.dtype)?;
            return self.node("MatMul", vec![a.name, b.name], Vec::new(), vec![a.dtype], false);
        }
        if a.shape.len() == 2 && self.choices.one_in(2) {
            let transposed = self.choices.one_in(2);
            let shape = if transposed { [cols, depth] } else { [depth, cols] };
            let (b, c) = (self.weights(a.dtype, &shape)?, self.weights(a.dtype, &[cols])?);
            let attributes = vec![int("transB", transposed.into()), float("alpha", 0.5)];
            return self.node("Gemm", vec![a.name, b, c], attributes, vec![a.dtype], false);
        }
        let b = self.weights(a.dtype, &[depth, cols])?;
        self.node("MatMul", vec![a.name, b], Vec::new(), vec![a.dtype], false)
    }

    fn window(&mut self) -> Option<Draft> {
        let x = self.pick(|v| v.dtype == DType::F32 && v.shape.len() > 2)?;
        let space = x.shape.len() - 2;
        let mut each = |low: i64, many: usize, len: usize| -> Vec<i64> {
            (0..len).map(|_| low + self.choices.below(many) as i64).collect()
        };
        let (kernel, strides) = (each(1, 3, space), each(1, 2, space));
        let (dilations, pads) = (each(1, 2, space), each(0, 2, 2 * space));
        let mut attributes = vec![
            ints("kernel_shape", kernel.clone()),
            ints("strides", strides),
            ints("pads", pads),
        ];
        if self.choices.one_in(2) {
            let operator = ["MaxPool", "AveragePool", "LpPool"][self.choices.below(3)];
            attributes.push(int("ceil_mode", self.choices.below(2) as i64));
            let exact = operator == "MaxPool";
            return self.node(operator, vec![x.name], attributes, vec![x.dtype], exact);
        }
        let channels = x.shape[1]?;
        let group = if channels > 0 && self.choices.one_in(2) { channels } else { 1 };
        let outputs = group.max(1) * (1 + self.choices.below(2) as i64);
        attributes.extend([int("group", group), ints("dilations", dilations)]);
        let shape = [&[outputs, channels / group.max(1)], &kernel[..]].concat();
        let mut inputs = vec![x.name, self.weights(DType::F32, &shape)?];
        if self.choices.one_in(2) {
            inputs.push(self.weights(DType::F32, &[outputs])?);
        }
        self.node("Conv", inputs, attributes, vec![x.dtype], false)
    }

    fn normalize(&mut self) -> Option<Draft> {
        let x = self.pick(|v| v.dtype == DType::F32 && !v.shape.is_empty())?;
        let axis = self.axis(&x);
        let along = vec![int("axis", axis as i64)];
        let epsilon = float("epsilon", 0.01);
        match self.choices.below(5) {
            0 => self.node("Softmax", vec![x.name], along, vec![x.dtype], false),
            1 => self.node("LogSoftmax", vec![x.name], along, vec![x.dtype], false),
            2 => {
                let shape: Vec<i64> = x.shape[axis..].iter().copied().collect::<Option<_>>()?;
                let scale = self.weights(x.dtype, &shape)?;
                let attributes = [along, vec![epsilon]].concat();
                let inputs = vec![x.name, scale];
                self.node("LayerNormalization", inputs, attributes, vec![x.dtype], false)
            }
            3 => {
                let channels = (*x.shape.get(1)?)?;
                let len = usize::try_from(channels).ok()?;
                let mut inputs = vec![x.name.clone()];
                for _ in 0..3 {
                    inputs.push(self.weights(x.dtype, &[channels])?);
                }
                inputs.push(self.model.constant(x.dtype, &[channels], &vec![0.75; len]));
                self.node("BatchNormalization", inputs, vec![epsilon], vec![x.dtype], false)
            }
            _ => {
                let channels = (*x.shape.get(1)?)?;
                let (scale, bias) =
                    (self.weights(x.dtype, &[channels])?, self.weights(x.dtype, &[channels])?);
                let inputs = vec![x.name, scale, bias];
                self.node("InstanceNormalization", inputs, vec![epsilon], vec![x.dtype], false)
            }
        }
    }

    fn recurrent(&mut self) -> Option<Draft> {
        let x = self.pick(|v| v.dtype == DType::F32 && v.shape.len() == 3)?;
        let width = x.shape[2]?;
        let (operator, gates) = [("RNN", 1), ("GRU", 3), ("LSTM", 4)][self.choices.below(3)];
        let direction = ["forward", "reverse", "bidirectional"][self.choices.below(3)];
        let directions = if direction == "bidirectional" { 2 } else { 1 };
        let hidden = [1, 3, 16][self.choices.below(3)];
        let mut inputs = vec![x.name];
        for shape in [[gates * hidden, width], [gates * hidden, hidden]] {
            inputs.push(self.weights(DType::F32, &[directions, shape[0], shape[1]])?);
        }
        if self.choices.one_in(2) {
            inputs.push(self.weights(DType::F32, &[directions, 2 * gates * hidden])?);
        }
        let attributes = vec![int("hidden_size", hidden), text("direction", direction)];
        self.node(operator, inputs, attributes, vec![DType::F32; 2], false)
    }

    fn quantize(&mut self) -> Option<Draft> {
        if self.choices.one_in(2) {
            let x = self.pick(|v| v.dtype == DType::U8)?;
            let scale = self.model.constant(DType::F32, &[], &[0.125]);
            let zero = self.model.constant(DType::U8, &[], &[3.0]);
            let inputs = vec![x.name, scale, zero];
            return self.node("DequantizeLinear", inputs, Vec::new(), vec![DType::F32], false);
        }
        let x = self.pick(|v| v.dtype == DType::F32)?;
        if self.choices.one_in(2) {
            let results = vec![DType::U8, DType::F32, DType::U8];
            return self.node("DynamicQuantizeLinear", vec![x.name], Vec::new(), results, false);
        }
        let scale = self.model.constant(DType::F32, &[], &[0.125]);
        let zero = self.model.constant(DType::U8, &[], &[100.0]);
        let inputs = vec![x.name, scale, zero];
        self.node("QuantizeLinear", inputs, Vec::new(), vec![DType::U8], false)
    }
}
