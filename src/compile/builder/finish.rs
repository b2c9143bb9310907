//! The end of a program: homes for outputs and states, the plan of the memory, the image.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::graph::ValueId;
use crate::graph::dim::{Dim, product};
use crate::runtime::record::Out;
use crate::runtime::{
    ARENA, Buffer, CONSTANTS, ImageBuilder, KERNELS, MAX_PORT_RANK, PORTS, PortSpec, Program, STATE,
};

use super::{Builder, CompileError, Home, Lowered, Storage, contiguous, is_contiguous};
use crate::compile::lower::movement;
use crate::compile::plan::{Lifetime, plan};

impl Builder<'_> {
    /// Gives outputs and states their homes, plans the memory, lays the image out.
    pub(in crate::compile) fn finish(mut self) -> Result<Program<'static>, CompileError> {
        let inputs = self.graph.inputs.len();
        let graph = self.graph;
        let mut claimed: Vec<usize> = Vec::new();
        let mut taken = HashSet::new();
        let mut lens = self.lens_by_storage();
        for (o, port) in graph.outputs.iter().enumerate() {
            self.node = format!("output \"{}\"", port.name);
            let lower = |reason| CompileError::Graph(format!("output \"{}\": {reason}", port.name));
            if graph.value(port.value).shape.len() > MAX_PORT_RANK {
                return Err(lower(format!("more than {MAX_PORT_RANK} axes")));
            }
            let state = graph.states.iter().find(|s| s.output == o);
            let storage = match state {
                Some(state) => self.keep(port.value, graph.inputs[state.input].value),
                None => self.claim(port.value, &taken, &mut lens),
            };
            let storage = storage.map_err(lower)?;
            if state.is_none() {
                self.storages[storage].home = Home::Port(inputs + o);
            }
            claimed.push(storage);
            taken.insert(storage);
        }
        let last_step = self.steps.len();
        for storage in &mut self.storages {
            if let Home::Port(port) = storage.home {
                storage.first = if port < inputs { 0 } else { storage.first };
                storage.last = last_step;
            }
        }
        let planned: Vec<usize> = (0..self.storages.len())
            .filter(|s| matches!(self.storages[*s].home, Home::Arena | Home::Port(_)))
            .collect();
        let lifetimes: Vec<Lifetime> = planned
            .iter()
            .map(|s| {
                let Storage { first, last, bytes, .. } = self.storages[*s];
                Lifetime { first, last, bytes }
            })
            .collect();
        let total: u64 = lifetimes.iter().map(|l| l.bytes as u64).max().unwrap_or(0);
        let constants = self.constants.bytes() as u64;
        self.check_limit(constants, total)?;
        check_size("one value", total)?;
        let plan = plan(&lifetimes);
        let mut offsets = vec![0; self.storages.len()];
        for (s, offset) in planned.iter().zip(&plan.offsets) {
            offsets[*s] = *offset;
        }
        self.check_limit(constants, plan.bytes as u64)?;
        check_size("the arena", plan.bytes as u64)?;
        check_size("the weights", constants)?;
        check_size("the state", self.state_bytes as u64)?;
        self.lay_out(&offsets, plan.bytes, &claimed)
    }

    /// Storage of an output that may be bound to other memory: its own, from its start, unshared.
    fn claim(
        &mut self,
        v: ValueId,
        claimed: &HashSet<usize>,
        lens: &mut HashMap<usize, HashMap<Dim, usize>>,
    ) -> Lowered<usize> {
        let place = self.place(v)?;
        let storage = &self.storages[place.storage];
        // Memory of the caller has room for the present extents of this value, not for another.
        let len = product(self.shape(v));
        let sole =
            lens.get(&place.storage).is_none_or(|lens| lens.keys().all(|other| *other == len));
        let own = sole
            && storage.home == Home::Arena
            && !storage.roomy
            && !claimed.contains(&place.storage)
            && storage.bytes == self.max_bytes(v)
            && place.offset.is(0)
            && is_contiguous(self.shape(v), &place.strides);
        if !own {
            if let Some(count) = lens.get_mut(&place.storage).and_then(|l| l.get_mut(&len)) {
                *count -= 1;
                if *count == 0 {
                    lens.entry(place.storage).or_default().remove(&len);
                }
            }
            self.copy_whole(v)?;
        }
        Ok(self.place(v)?.storage)
    }

    /// How many values of each length lie in each storage.
    fn lens_by_storage(&self) -> HashMap<usize, HashMap<Dim, usize>> {
        let mut lens: HashMap<usize, HashMap<Dim, usize>> = HashMap::new();
        for (value, place) in self.graph.values.iter().zip(&self.places) {
            if let Some(place) = place {
                *lens
                    .entry(place.storage)
                    .or_default()
                    .entry(product(&value.shape))
                    .or_default() += 1;
            }
        }
        lens
    }

    /// Makes an output the state that the next run reads as `input`: in the same memory where the
    /// output is written after the input has been read, else by a copy at the end.
    fn keep(&mut self, output: ValueId, input: ValueId) -> Lowered<usize> {
        let from = self.place(output)?;
        // The first storages are those of the inputs, in their order.
        let to = self.graph.inputs.iter().position(|p| p.value == input).unwrap_or(0);
        if from.storage == to {
            return Ok(to);
        }
        let source = &self.storages[from.storage];
        let target = &self.storages[to];
        let apart = target.last_read.is_none_or(|last| {
            last < source.first || (target.held && source.shared_write == Some(last))
        });
        let sole = self.places.iter().flatten().filter(|p| p.storage == from.storage).count() == 1;
        let whole = source.home == Home::Arena
            && source.bytes == self.storages[to].bytes
            && from.offset.is(0)
            && is_contiguous(self.shape(output), &from.strides);
        if apart && whole && sole {
            self.storages[from.storage].home = self.storages[to].home;
            return Ok(from.storage);
        }
        let (src, place) = self.view(output)?;
        let dst = Out(self.region(to, self.dtype(input)));
        let shape = self.shape(output);
        let strides = contiguous(shape);
        movement::copy(
            self,
            self.dtype(output),
            shape,
            (src, &place.offset, &place.strides),
            (dst, &Dim::Fixed(0), &strides),
        )?;
        Ok(to)
    }

    fn lay_out(
        mut self,
        offsets: &[usize],
        arena_bytes: usize,
        outputs: &[usize],
    ) -> Result<Program<'static>, CompileError> {
        let graph = self.graph;
        let mut image = ImageBuilder { arena_bytes, ..ImageBuilder::default() };
        let home = |storage: usize, storages: &[Storage]| match storages[storage].home {
            Home::Constant(offset) => (CONSTANTS, offset),
            Home::State(offset) => (STATE, offset),
            Home::Arena | Home::Port(_) => (ARENA, offsets[storage]),
        };
        let ports = |builder: &mut Self, value: ValueId, name: &str, storage: usize| {
            let (home, home_offset) = home(storage, &builder.storages);
            let dtype = builder.dtype(value);
            PortSpec {
                name: name.to_owned(),
                dtype,
                shape: builder.shape(value).iter().map(|d| builder.dims.extent(d)).collect(),
                room: builder.room(value),
                measured: builder.is_measured(value),
                home,
                home_offset,
                bytes: builder.storages[storage].bytes,
            }
        };
        for port in &graph.inputs {
            // The first storages are those of the inputs, in their order.
            let storage = image.inputs.len();
            let spec = ports(&mut self, port.value, &port.name, storage);
            image.inputs.push(spec);
        }
        for (port, storage) in graph.outputs.iter().zip(outputs) {
            let spec = ports(&mut self, port.value, &port.name, *storage);
            image.outputs.push(spec);
        }
        image.states = graph.states.iter().map(|s| (s.input as u32, s.output as u32)).collect();
        let labels = graph.labels.iter().map(|l| (l.output as u32, l.texts.clone()));
        image.labels = labels.collect();
        for region in &self.regions {
            let storage = &self.storages[region.storage];
            let (base, offset) = match storage.home {
                Home::Constant(offset) => (CONSTANTS, offset),
                Home::State(offset) => (STATE, offset),
                Home::Arena => (ARENA, offsets[region.storage]),
                Home::Port(port) => (PORTS + port as u32, 0),
            };
            let (bytes, dtype) = (storage.bytes, region.dtype);
            image.buffers.push(Buffer { base, offset, bytes, dtype });
        }
        image.dims = std::mem::take(&mut self.dims.entries);
        image.steps = self.steps;
        image.state_bytes = self.state_bytes;
        let (storage, bytes) = image.finish(self.constants);
        Program::from_storage(Arc::new(storage), 0..bytes, &KERNELS)
            .map_err(|e| CompileError::Graph(e.to_string()))
    }
}

fn check_size(what: &str, bytes: u64) -> Result<(), CompileError> {
    // Offsets are 32-bit words.
    let limit = u64::from(u32::MAX) - 63;
    if bytes <= limit {
        return Ok(());
    }
    Err(CompileError::TooLarge { what: what.to_owned(), bytes, limit })
}
