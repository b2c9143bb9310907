//! The memory planner: lifetimes in, offsets out.
//!
//! A pure function. Its invariant: two blocks that live at the same step never overlap. Offsets
//! are given greedily, each block at the lowest place that is free for its whole life; several
//! orders are tried and the smallest result kept. Source: the "greedy by size" strategy of
//! Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference" (2020).

use std::collections::{BTreeMap, BTreeSet};

/// Memory that is needed from one step to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The first step that touches it.
    pub first: usize,
    /// The last one.
    pub last: usize,
    /// Its size.
    pub bytes: usize,
}

impl Lifetime {
    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Where each block lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Offset of each block, in the order given, each a multiple of [`ALIGNMENT`].
    pub offsets: Vec<usize>,
    /// Bytes for all of them.
    pub bytes: usize,
}

/// Every block begins on a cache line.
pub const ALIGNMENT: usize = 64;

/// Up to so many blocks are placed with care.
const MOST_BLOCKS: usize = 4096;

/// Places blocks so that those alive together do not overlap.
///
/// **Cost**: quadratic in the number of blocks, for each of the orders tried; where there are
/// thousands of them, only the order of time is tried, with a list of what is free.
pub fn plan(lifetimes: &[Lifetime]) -> Plan {
    if lifetimes.len() > MOST_BLOCKS {
        return sweep(lifetimes);
    }
    let area = |i: &usize| {
        let l = &lifetimes[*i];
        l.bytes.saturating_mul(l.last - l.first + 1)
    };
    let mut orders: [Vec<usize>; 4] = core::array::from_fn(|_| (0..lifetimes.len()).collect());
    orders[0].sort_by_key(|i| (usize::MAX - lifetimes[*i].bytes, lifetimes[*i].first));
    orders[1].sort_by_key(|i| usize::MAX - area(i));
    orders[2].sort_by_key(|i| (lifetimes[*i].first, usize::MAX - lifetimes[*i].bytes));
    orders[3].sort_by_key(|i| {
        let l = &lifetimes[*i];
        (usize::MAX - (l.last - l.first), usize::MAX - l.bytes)
    });
    orders
        .iter()
        .map(|order| place(lifetimes, order))
        .min_by_key(|plan| plan.bytes)
        .unwrap_or(Plan { offsets: Vec::new(), bytes: 0 })
}

fn place(lifetimes: &[Lifetime], order: &[usize]) -> Plan {
    let mut offsets = vec![0; lifetimes.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut bytes = 0;
    for &i in order {
        let block = &lifetimes[i];
        if block.bytes == 0 {
            continue;
        }
        // `placed` is sorted by offset: walk the gaps between those alive together with `block`.
        let mut offset = 0usize;
        for &j in placed.iter().filter(|j| lifetimes[**j].meets(block)) {
            if offset + block.bytes <= offsets[j] {
                break;
            }
            offset = offset.max((offsets[j] + lifetimes[j].bytes).next_multiple_of(ALIGNMENT));
        }
        offsets[i] = offset;
        bytes = bytes.max(offset + block.bytes);
        let at = placed.partition_point(|j| offsets[*j] <= offset);
        placed.insert(at, i);
    }
    Plan { offsets, bytes }
}

/// Places blocks in the order of time, each in the smallest gap that holds it.
fn sweep(lifetimes: &[Lifetime]) -> Plan {
    let mut order: Vec<usize> = (0..lifetimes.len()).filter(|i| lifetimes[*i].bytes > 0).collect();
    order.sort_by_key(|i| (lifetimes[*i].first, usize::MAX - lifetimes[*i].bytes));
    let mut offsets = vec![0; lifetimes.len()];
    let mut alive: BTreeSet<(usize, usize)> = BTreeSet::new();
    let mut gaps = Gaps::default();
    let mut bytes = 0;
    for i in order {
        let block = &lifetimes[i];
        while let Some((last, j)) = alive.first().copied().filter(|(last, _)| *last < block.first) {
            alive.remove(&(last, j));
            gaps.give(offsets[j], lifetimes[j].bytes.next_multiple_of(ALIGNMENT));
        }
        offsets[i] = gaps.take(block.bytes.next_multiple_of(ALIGNMENT));
        bytes = bytes.max(offsets[i] + block.bytes);
        alive.insert((block.last, i));
    }
    Plan { offsets, bytes }
}

/// What is free below the end: gaps by their start, and by their length.
#[derive(Default)]
struct Gaps {
    by_start: BTreeMap<usize, usize>,
    by_len: BTreeSet<(usize, usize)>,
    end: usize,
}

impl Gaps {
    fn remove(&mut self, start: usize, len: usize) {
        self.by_start.remove(&start);
        self.by_len.remove(&(len, start));
    }

    /// The start of `len` bytes.
    fn take(&mut self, len: usize) -> usize {
        let Some((gap, start)) = self.by_len.range((len, 0)..).next().copied() else {
            // The last gap may reach the end: it grows.
            let last = self.by_start.last_key_value().map(|(start, gap)| (*start, *gap));
            let start = match last.filter(|(start, gap)| start + gap == self.end) {
                Some((start, gap)) => {
                    self.remove(start, gap);
                    start
                }
                None => self.end,
            };
            self.end = start + len;
            return start;
        };
        self.remove(start, gap);
        if gap > len {
            self.by_start.insert(start + len, gap - len);
            self.by_len.insert((gap - len, start + len));
        }
        start
    }

    /// Frees bytes, joined with the gaps beside them.
    fn give(&mut self, mut start: usize, mut len: usize) {
        let before = self.by_start.range(..start).next_back().map(|(s, l)| (*s, *l));
        if let Some((s, l)) = before.filter(|(s, l)| s + l == start) {
            self.remove(s, l);
            (start, len) = (s, l + len);
        }
        if let Some(l) = self.by_start.get(&(start + len)).copied() {
            self.remove(start + len, l);
            len += l;
        }
        self.by_start.insert(start, len);
        self.by_len.insert((len, start));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn life(first: usize, last: usize, bytes: usize) -> Lifetime {
        Lifetime { first, last, bytes }
    }

    #[test]
    fn a_chain_needs_its_two_largest_neighbours() {
        let plan = plan(&[life(0, 1, 640), life(1, 2, 1280), life(2, 3, 640), life(3, 4, 64)]);
        assert_eq!(plan.bytes, 1920);
        assert_eq!(plan.offsets, [1280, 0, 1280, 0]);
    }

    #[test]
    fn a_gap_is_filled() {
        let plan = plan(&[life(0, 9, 64), life(0, 3, 256), life(4, 9, 128), life(5, 6, 128)]);
        assert_eq!(plan.bytes, 320);
    }

    #[test]
    fn nothing_needs_nothing() {
        assert_eq!(plan(&[]), Plan { offsets: vec![], bytes: 0 });
        assert_eq!(plan(&[life(0, 0, 0)]).bytes, 0);
    }

    proptest! {
        #[test]
        fn blocks_alive_together_do_not_overlap(
            raw in prop::collection::vec((0usize..20, 0usize..20, 0usize..2000), 0..40)
        ) {
            let blocks: Vec<_> =
                raw.iter().map(|(a, b, n)| life(*a.min(b), *a.max(b), *n)).collect();
            for plan in [plan(&blocks), sweep(&blocks)] {
            for (i, a) in blocks.iter().enumerate() {
                prop_assert!(plan.offsets[i].is_multiple_of(ALIGNMENT));
                prop_assert!(plan.offsets[i] + a.bytes <= plan.bytes || a.bytes == 0);
                for (j, b) in blocks.iter().enumerate().skip(i + 1) {
                    let apart = plan.offsets[i] + a.bytes <= plan.offsets[j]
                        || plan.offsets[j] + b.bytes <= plan.offsets[i];
                    prop_assert!(apart || !a.meets(b) || a.bytes == 0 || b.bytes == 0);
                }
            }
            // Never worse than no sharing at all, never better than what is alive at once.
            let apart: usize = blocks.iter().map(|b| b.bytes.next_multiple_of(ALIGNMENT)).sum();
            let most = (0..20)
                .map(|t| blocks.iter().filter(|b| b.first <= t && t <= b.last).map(|b| b.bytes).sum())
                .max()
                .unwrap_or(0usize);
            prop_assert!(plan.bytes <= apart && plan.bytes >= most);
            }
        }
    }
}
