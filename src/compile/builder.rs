//! A program while it is written, node by node.

mod blocks;
mod finish;

use std::collections::HashMap;

use crate::graph::dim::{Dim, product};
use crate::graph::{Graph, Node, Op, Tensor, Value, ValueId, VarId};
use crate::runtime::record::{Access, Extent, Extents, Field, In, MAX_RANK, Out, Scratch};
use crate::runtime::record::{SharedIn, SharedOut};
use crate::runtime::{Constants, KernelId, MAX_PORT_RANK, StepSpec};
use crate::tensor::DType;

use super::CompileError;
use super::dims::DimTable;
use super::place::{Home, Place, Storage, contiguous, is_contiguous};
use super::plan::ALIGNMENT;

/// A buffer before its storage has an address.
struct Region {
    storage: usize,
    dtype: DType,
}

/// A reason why a node cannot be lowered; the node is added by the caller.
pub(crate) type Lowered<T> = Result<T, String>;

/// Writes steps, and keeps account of where values lie and how long.
pub(crate) struct Builder<'g> {
    pub(crate) graph: &'g Graph,
    dims: DimTable,
    storages: Vec<Storage>,
    places: Vec<Option<Place>>,
    /// Readings of each value that are still to come.
    remaining: Vec<u32>,
    /// The same of all values that lie in each storage.
    readings: Vec<u64>,
    regions: Vec<Region>,
    region_index: HashMap<(usize, DType), u32>,
    steps: Vec<StepSpec>,
    constants: Constants,
    packed: HashMap<(ValueId, &'static str), usize>,
    state_bytes: usize,
    /// Caches that grow in place: the input, the result of its concatenation, and along which
    /// axis there is room for how much.
    appends: Vec<Append>,
    /// Blocks that are open, and where values lay before they were moved in them.
    depth: usize,
    journal: Vec<(ValueId, Option<Place>)>,
    /// For each loop that is open, how often its steps run at most.
    nested: Vec<u64>,
    node: String,
    /// Bytes that all of this may take, and those that the graph's constants take already.
    limit: u64,
    graph_bytes: u64,
}

/// A cache that grows in place.
struct Append {
    input: ValueId,
    output: ValueId,
    axis: usize,
    room: usize,
}

impl Append {
    /// Strides of a tensor that lies as if the axis were as long as there is room.
    fn strides(&self, value: &Value) -> Vec<Dim> {
        let mut shape = value.shape.clone();
        shape[self.axis] = Dim::Fixed(self.room as i64);
        contiguous(&shape)
    }
}

impl<'g> Builder<'g> {
    pub(super) fn new(graph: &'g Graph, limit: u64) -> Result<Self, CompileError> {
        let graph_bytes = graph.values.iter().map(constant_bytes).sum();
        let mut builder = Self {
            graph,
            dims: DimTable::new(&graph.variables),
            storages: Vec::new(),
            places: vec![None; graph.values.len()],
            remaining: graph.use_counts(),
            readings: Vec::new(),
            regions: Vec::new(),
            region_index: HashMap::new(),
            steps: Vec::new(),
            constants: Constants::with_capacity(graph_bytes as usize),
            packed: HashMap::new(),
            state_bytes: 0,
            appends: Vec::new(),
            depth: 0,
            journal: Vec::new(),
            nested: Vec::new(),
            node: String::new(),
            limit,
            graph_bytes,
        };
        for (i, port) in graph.inputs.iter().enumerate() {
            if graph.value(port.value).shape.len() > MAX_PORT_RANK {
                return Err(CompileError::Graph(format!(
                    "input \"{}\" has more than {MAX_PORT_RANK} axes",
                    port.name
                )));
            }
            let state = graph.states.iter().find(|s| s.input == i);
            let mut strides = contiguous(&graph.value(port.value).shape);
            let storage = match state {
                None => {
                    let bytes = builder.max_bytes(port.value);
                    builder.new_storage(Home::Port(i), bytes)
                }
                Some(state) => {
                    let output = graph.outputs[state.output].value;
                    if let Some(append) = builder.append(port.value, output) {
                        strides = append.strides(graph.value(port.value));
                        builder.appends.push(append);
                    }
                    // The output may be longer than the input.
                    let bytes = builder.max_bytes(port.value).max(builder.max_bytes(output));
                    let offset = builder.state_bytes;
                    builder.state_bytes += bytes.next_multiple_of(ALIGNMENT);
                    builder.new_storage(Home::State(offset), bytes)
                }
            };
            builder.set_place(port.value, Some(Place { storage, offset: Dim::Fixed(0), strides }));
        }
        Ok(builder)
    }

    /// The cache that `output` is, where it is the concatenation of `input` and something new
    /// along an axis that is chosen per call.
    fn append(&self, input: ValueId, output: ValueId) -> Option<Append> {
        let node = self.graph.nodes.iter().find(|n| n.outputs.contains(&Some(output)))?;
        let Op::Concat { axis } = node.op else { return None };
        let first = node.inputs.first().copied().flatten() == Some(input);
        let once = node.inputs.iter().filter(|v| **v == Some(input)).count() == 1;
        let ranged = self.shape(input)[axis].fixed().is_none();
        let room = self.upper(&self.shape(output)[axis]);
        (first && once && ranged).then_some(Append { input, output, axis, room })
    }

    /// Makes the result of a concatenation the cache that it lengthens. `false` where it is none.
    pub(crate) fn append_in_place(&mut self, y: ValueId) -> bool {
        let Some(append) = self.appends.iter().find(|a| a.output == y) else { return false };
        let place = self.places[append.input.0 as usize].clone();
        self.set_place(y, place);
        true
    }

    fn room(&self, v: ValueId) -> Option<(usize, usize)> {
        let append = self.appends.iter().find(|a| a.input == v || a.output == v)?;
        Some((append.axis, append.room))
    }

    /// Starts a node: its operands are being read for one more time.
    pub(super) fn begin(&mut self, node: &Node) {
        self.resume(node);
        node.inputs.iter().flatten().for_each(|id| self.has_read(*id));
    }

    /// The steps that follow belong to this node.
    pub(super) fn resume(&mut self, node: &Node) {
        self.node.clone_from(&node.name);
    }

    // What is known of values.

    pub(crate) fn dtype(&self, v: ValueId) -> DType {
        self.graph.value(v).dtype
    }

    pub(crate) fn shape(&self, v: ValueId) -> &'g [Dim] {
        &self.graph.value(v).shape
    }

    pub(crate) fn constant(&self, v: ValueId) -> Option<&'g Tensor> {
        self.graph.value(v).constant.as_ref()
    }

    /// Whether nobody reads the value.
    pub(crate) fn is_unused(&self, v: ValueId) -> bool {
        self.remaining[v.0 as usize] == 0
    }

    /// Whether the value's shape is known only while the program runs.
    fn is_measured(&self, v: ValueId) -> bool {
        self.shape(v).iter().any(|d| d.is_measured(&self.graph.variables))
    }

    /// The place of a variable in the table of dimensions.
    pub(crate) fn variable(&self, id: VarId) -> u32 {
        // The table begins with the variables, in their order.
        id.0
    }

    /// The largest value of a dimension.
    pub(crate) fn upper(&self, dim: &Dim) -> usize {
        usize::try_from(dim.upper(&self.graph.variables)).unwrap_or(0)
    }

    /// Elements of a shape at the largest extents.
    pub(crate) fn max_len(&self, shape: &[Dim]) -> usize {
        shape.iter().fold(1, |n, d| n.saturating_mul(self.upper(d)))
    }

    fn max_bytes(&self, v: ValueId) -> usize {
        self.max_len(self.shape(v)).saturating_mul(self.dtype(v).bytes())
    }

    // Words of records.

    pub(crate) fn extent(&mut self, dim: &Dim) -> Extent {
        self.dims.extent(dim)
    }

    pub(crate) fn extents(&mut self, dims: &[Dim]) -> Lowered<Extents> {
        if dims.len() > MAX_RANK {
            return Err(format!("more than {MAX_RANK} axes that cannot be joined"));
        }
        Ok(dims.iter().map(|d| self.dims.extent(d)).collect())
    }

    // Memory.

    fn new_storage(&mut self, home: Home, bytes: usize) -> usize {
        self.storages.push(Storage::new(home, bytes, self.steps.len()));
        self.readings.push(0);
        self.storages.len() - 1
    }

    fn set_place(&mut self, v: ValueId, place: Option<Place>) {
        let old = self.replace_place(v, place);
        if self.depth > 0 {
            self.journal.push((v, old));
        }
    }

    fn replace_place(&mut self, v: ValueId, place: Option<Place>) -> Option<Place> {
        let readings = u64::from(self.remaining[v.0 as usize]);
        if let Some(place) = &place {
            self.readings[place.storage] += readings;
        }
        let old = std::mem::replace(&mut self.places[v.0 as usize], place);
        if let Some(old) = &old {
            self.readings[old.storage] -= readings;
        }
        old
    }

    fn region(&mut self, storage: usize, dtype: DType) -> u32 {
        *self.region_index.entry((storage, dtype)).or_insert_with(|| {
            self.regions.push(Region { storage, dtype });
            (self.regions.len() - 1) as u32
        })
    }

    /// Room for a constant of so many bytes: its storage, and the words to fill.
    fn new_constant(&mut self, bytes: usize) -> (usize, &mut [u32]) {
        let step = self.steps.len();
        let (offset, words) = self.constants.room(bytes);
        self.storages.push(Storage::new(Home::Constant(offset), bytes, step));
        self.readings.push(0);
        (self.storages.len() - 1, words)
    }

    fn pack_bytes(&mut self, bytes: &[u8]) -> usize {
        let (storage, words) = self.new_constant(bytes.len());
        bytemuck::cast_slice_mut(words)[..bytes.len()].copy_from_slice(bytes);
        storage
    }

    /// Where a value lies; a constant is written into the image when it is first asked for.
    pub(crate) fn place(&mut self, v: ValueId) -> Lowered<Place> {
        if let Some(place) = &self.places[v.0 as usize] {
            return Ok(place.clone());
        }
        let Some(tensor) = self.constant(v) else {
            return Err(format!(
                "value \"{}\" is read before it is written",
                self.graph.value(v).name
            ));
        };
        let storage = self.pack_bytes(tensor.bytes());
        let strides = contiguous(self.shape(v));
        let place = Place { storage, offset: Dim::Fixed(0), strides };
        self.set_place(v, Some(place.clone()));
        Ok(place)
    }

    /// Weights in the form a kernel wants, packed once for each value and form.
    pub(crate) fn packed(
        &mut self,
        v: ValueId,
        form: &'static str,
        dtype: DType,
        pack: impl FnOnce() -> Vec<u8>,
    ) -> In {
        let storage = match self.packed.get(&(v, form)) {
            Some(storage) => *storage,
            None => {
                let storage = self.pack_bytes(&pack());
                self.packed.insert((v, form), storage);
                storage
            }
        };
        In(self.region(storage, dtype))
    }

    /// As [`Builder::packed`], of `len` f32 that `pack` writes where they stay. They are zeros
    /// before.
    pub(crate) fn packed_f32(
        &mut self,
        v: ValueId,
        form: &'static str,
        len: usize,
        pack: impl FnOnce(&mut [f32]),
    ) -> In {
        let storage = match self.packed.get(&(v, form)) {
            Some(storage) => *storage,
            None => {
                let (storage, words) = self.new_constant(len * size_of::<f32>());
                pack(bytemuck::cast_slice_mut(words));
                self.packed.insert((v, form), storage);
                storage
            }
        };
        In(self.region(storage, DType::F32))
    }

    /// Data that belongs to no value.
    pub(crate) fn table(&mut self, tensor: &Tensor) -> In {
        let storage = self.pack_bytes(tensor.bytes());
        In(self.region(storage, tensor.dtype()))
    }

    /// A row-major operand that begins at the start of its buffer; views are copied first.
    pub(crate) fn read(&mut self, v: ValueId) -> Lowered<In> {
        let place = self.place(v)?;
        if !place.offset.is(0) || !is_contiguous(self.shape(v), &place.strides) {
            self.copy_whole(v)?;
        } else {
            // Axes of one element may have any stride, even one that no kernel walks.
            let strides = contiguous(self.shape(v));
            if place.strides != strides {
                self.set_place(v, Some(Place { strides, ..place }));
            }
        }
        let storage = self.place(v)?.storage;
        Ok(In(self.region(storage, self.dtype(v))))
    }

    /// A row-major operand, read through cells.
    pub(crate) fn read_shared(&mut self, v: ValueId) -> Lowered<SharedIn> {
        self.read(v).map(|operand| SharedIn(operand.0))
    }

    /// What lies at a place, which begins a storage.
    pub(super) fn read_place(&mut self, place: &Place, v: ValueId) -> In {
        In(self.region(place.storage, self.dtype(v)))
    }

    /// An operand as it lies: its whole storage, the place of its first element, its strides.
    pub(crate) fn view(&mut self, v: ValueId) -> Lowered<(In, Place)> {
        let place = self.place(v)?;
        Ok((In(self.region(place.storage, self.dtype(v))), place))
    }

    /// Memory for a result, row-major.
    pub(crate) fn write(&mut self, v: ValueId) -> Out {
        let bytes = self.max_bytes(v);
        let storage = self.new_storage(Home::Arena, bytes);
        let strides = contiguous(self.shape(v));
        self.set_place(v, Some(Place { storage, offset: Dim::Fixed(0), strides }));
        Out(self.region(storage, self.dtype(v)))
    }

    /// Memory for a result in which its axes lie in the order `perm`.
    pub(crate) fn write_transposed(&mut self, v: ValueId, perm: &[usize]) -> Out {
        let out = self.write(v);
        let shape = self.shape(v);
        let lie = contiguous(&perm.iter().map(|axis| shape[*axis].clone()).collect::<Vec<_>>());
        if let Some(mut place) = self.places[v.0 as usize].clone() {
            for (axis, stride) in perm.iter().zip(lie) {
                place.strides[*axis] = stride;
            }
            self.set_place(v, Some(place));
        }
        out
    }

    /// Memory for a result that may take the place of one of the operands in `from`, where that
    /// operand is read here for the last time, element by element. `all` are the step's operands.
    pub(crate) fn write_shared(
        &mut self,
        v: ValueId,
        from: &[ValueId],
        all: &[ValueId],
    ) -> SharedOut {
        let reusable = from.iter().copied().find(|a| self.can_replace(*a, v, all));
        let Some(a) = reusable else { return SharedOut(self.write(v).0) };
        let place = self.places[a.0 as usize].clone();
        let storage = place.as_ref().map_or(0, |p| p.storage);
        self.set_place(v, place.map(|p| Place { strides: contiguous(self.shape(v)), ..p }));
        SharedOut(self.region(storage, self.dtype(v)))
    }

    /// Memory for a result that is added to `a` where it lies, if that operand is read here for the
    /// last time and none of the `others` lies there.
    pub(crate) fn write_onto(&mut self, v: ValueId, a: ValueId, others: &[ValueId]) -> Option<Out> {
        let place = self.places[a.0 as usize].clone()?;
        let lies_there = |b: &ValueId| {
            self.places[b.0 as usize].as_ref().is_some_and(|p| p.storage == place.storage)
        };
        if others.iter().any(lies_there) || !self.can_replace(a, v, &[a]) {
            return None;
        }
        let storage = place.storage;
        self.set_place(v, Some(Place { strides: contiguous(self.shape(v)), ..place }));
        Some(Out(self.region(storage, self.dtype(v))))
    }

    fn can_replace(&self, a: ValueId, v: ValueId, all: &[ValueId]) -> bool {
        let Some(place) = &self.places[a.0 as usize] else { return false };
        let storage = &self.storages[place.storage];
        let whole = place.offset.is(0)
            && is_contiguous(self.shape(a), &place.strides)
            && product(self.shape(a)) == product(self.shape(v))
            && self.dtype(a).bytes() == self.dtype(v).bytes()
            && storage.home == Home::Arena
            && storage.bytes == self.max_bytes(v);
        let read_later = self.readings[place.storage] > 0;
        // Another operand may be a part of it, which begins at the same place: a row, repeated.
        let read_otherwise = all.iter().any(|b| {
            self.places[b.0 as usize].as_ref().is_some_and(|p| {
                p.storage == place.storage && (p != place || self.shape(*b) != self.shape(a))
            })
        });
        whole && !read_later && !read_otherwise
    }

    /// Makes `v` a view of the storage that `place` names; nothing runs.
    pub(crate) fn alias(&mut self, v: ValueId, place: Place) {
        self.set_place(v, Some(place));
    }

    /// Working memory of the step that is written next.
    pub(crate) fn scratch(&mut self, dtype: DType, len: usize) -> Scratch {
        let storage = self.new_storage(Home::Arena, len.saturating_mul(dtype.bytes()));
        Scratch(self.region(storage, dtype))
    }

    /// A number that is zero in a new session and that the step alone reads and writes.
    pub(crate) fn counter(&mut self) -> SharedOut {
        let offset = self.state_bytes;
        self.state_bytes += ALIGNMENT;
        let storage = self.new_storage(Home::State(offset), size_of::<u64>());
        SharedOut(self.region(storage, DType::U64))
    }

    /// Memory for a value between two steps of one node.
    pub(crate) fn temporary(&mut self, dtype: DType, len: usize) -> u32 {
        self.scratch(dtype, len).0
    }

    /// Copies a view into row-major memory of its own and moves the value there.
    fn copy_whole(&mut self, v: ValueId) -> Lowered<()> {
        let place = self.place(v)?;
        let src = self.region(place.storage, self.dtype(v));
        let dst = self.write(v);
        let strides = contiguous(self.shape(v));
        super::lower::movement::copy(
            self,
            self.dtype(v),
            self.shape(v),
            (In(src), &place.offset, &place.strides),
            (dst, &Dim::Fixed(0), &strides),
        )
    }

    /// Writes a step and notes what it touches.
    pub(crate) fn step(&mut self, kernel: KernelId, record: &impl Field) {
        let step = self.steps.len();
        let (regions, storages) = (&self.regions, &mut self.storages);
        record.operands(&mut |operand, access| {
            let storage = &mut storages[regions[operand as usize].storage];
            storage.last = step;
            match access {
                Access::Read | Access::ReadShared | Access::ReadHeld => {
                    let again = storage.last_read == Some(step) && !storage.held;
                    storage.held = access == Access::ReadHeld && !again;
                    storage.last_read = Some(step);
                }
                Access::WriteShared => storage.shared_write = storage.shared_write.or(Some(step)),
                Access::Write | Access::Scratch => {}
            }
        });
        let mut words = Vec::new();
        record.put(&mut words);
        self.steps.push(StepSpec { kernel: kernel as u32, words, name: self.node.clone() });
    }

    /// Refuses constants beyond what is allowed.
    pub(super) fn check_constants(&self) -> Result<(), CompileError> {
        let packed = self.constants.bytes() as u64;
        self.check_limit(self.graph_bytes.saturating_add(packed), 0)
    }

    fn check_limit(&self, constants: u64, arena: u64) -> Result<(), CompileError> {
        let (state, limit) = (self.state_bytes as u64, self.limit);
        if constants.saturating_add(arena).saturating_add(state) <= limit {
            return Ok(());
        }
        let bytes = |i: &usize| self.max_bytes(ValueId(*i as u32));
        let largest = (0..self.graph.values.len()).max_by_key(bytes);
        let largest = largest.map_or_else(String::new, |i| {
            let value = &self.graph.values[i];
            let dims = value.shape.iter().map(|d| d.display(&self.graph.variables).to_string());
            let (dims, bytes) = (dims.collect::<Vec<_>>().join(", "), bytes(&i) as u64);
            format!("{:?}, {}[{dims}] of {}", value.name, value.dtype, crate::graph::size(bytes))
        });
        Err(CompileError::Memory { constants, arena, state, limit, largest })
    }
}

fn constant_bytes(value: &Value) -> u64 {
    value.constant.as_ref().map_or(0, |tensor| tensor.bytes().len() as u64)
}
