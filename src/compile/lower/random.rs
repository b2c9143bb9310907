//! Random numbers.

use crate::graph::Node;
use crate::graph::dim::product;
use crate::graph::ops::Random;
use crate::runtime::steps::KernelId;
use crate::runtime::steps::random::RandomRecord;

use super::super::builder::{Builder, Lowered};
use super::result;

pub(super) fn random(b: &mut Builder<'_>, node: &Node, op: &Random) -> Lowered<()> {
    let record = RandomRecord {
        runs: b.counter(),
        y: b.write(result(node, 0)?),
        len: b.extent(&product(&op.shape)),
        normal: op.normal,
        seed_low: op.seed as u32,
        seed_high: (op.seed >> 32) as u32,
    };
    b.step(KernelId::Random, &record);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::compile::compile;
    use crate::graph::{Dim, Graph, Op, Port};
    use crate::kernels::Level;
    use crate::runtime::Session;

    use super::*;

    fn program(normal: bool, seed: u64) -> crate::runtime::Program<'static> {
        let mut graph = Graph::default();
        let op = Op::Random(Random { shape: vec![Dim::Fixed(50), Dim::Fixed(21)], normal, seed });
        let y = graph.add_node("draw", op, &[], &["y"]).expect("it has no operand")[0];
        graph.outputs.push(Port { name: "y".into(), value: y });
        compile(&graph).expect("it has a kernel")
    }

    fn draws(session: &mut Session<'_>) -> Vec<f32> {
        session.run().expect("nothing can fail");
        session.output::<f32>(0).expect("it is f32").to_vec()
    }

    #[test]
    fn every_run_draws_anew_and_every_session_the_same() {
        for normal in [false, true] {
            let program = program(normal, 7);
            let mut session = Session::new(&program).expect("memory");
            let (first, second) = (draws(&mut session), draws(&mut session));
            assert_ne!(first, second);
            session.reset();
            assert_eq!(draws(&mut session), first);
            let mut scalar = Session::new_at(&program, Level::scalar()).expect("memory");
            let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a == b);
            assert!(close(&draws(&mut scalar), &first), "each instruction set draws the same");
            assert!(close(&draws(&mut scalar), &second));
        }
    }

    /// Bounds of five deviations: a false alarm in two million runs of other seeds.
    #[test]
    fn moments() {
        for (normal, mean, variance) in [(false, 0.5, 1.0 / 12.0), (true, 0.0, 1.0)] {
            let (one, other) = (program(normal, 1), program(normal, 2));
            let mut session = Session::new(&one).expect("memory");
            let mut all = Vec::new();
            for _ in 0..20 {
                all.extend(draws(&mut session));
            }
            let n = all.len() as f64;
            let sum: f64 = all.iter().map(|x| f64::from(*x)).sum();
            assert!((sum / n - mean).abs() < 5.0 * (variance / n).sqrt(), "{}", sum / n);
            let squares: f64 = all.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
            assert!((squares / n / variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
            if !normal {
                assert!(all.iter().all(|x| (0.0..1.0).contains(x)));
            }
            let mut session = Session::new(&other).expect("memory");
            assert_ne!(draws(&mut session), all[..1050]);
        }
    }
}
