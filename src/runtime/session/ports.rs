//! Inputs and outputs of a session.

use core::marker::PhantomData;

use crate::runtime::errors::BindError;
use crate::runtime::image::{ARENA, PORTS};
use crate::runtime::memory::{elements, elements_mut};
use crate::runtime::record::Extent;
use crate::tensor::{DType, Element};

use super::{Session, Shape};

/// Elements that a run reads where they are.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(super) dtype: DType,
    pub(super) pointer: *const u8,
    pub(super) bytes: usize,
    elements: PhantomData<&'a [u8]>,
}

impl<'a> View<'a> {
    /// These elements. Bytes (`u8`) also serve a boolean port: zero or one each. The bits of
    /// elements serve a port of a small type: `u16` for [`F16`](crate::tensor::F16) and
    /// [`Bf16`](crate::tensor::Bf16), `u8` for types of eight bits or fewer.
    pub fn new<T: Element>(elements: &'a [T]) -> Self {
        Self {
            dtype: T::DTYPE,
            pointer: elements.as_ptr().cast(),
            bytes: size_of_val(elements),
            elements: PhantomData,
        }
    }
}

/// Elements that a run writes where they are.
#[derive(Debug)]
pub struct ViewMut<'a> {
    pub(super) dtype: DType,
    pub(super) pointer: *mut u8,
    pub(super) bytes: usize,
    elements: PhantomData<&'a mut [u8]>,
}

impl<'a> ViewMut<'a> {
    /// These elements. Bytes (`u8`) also serve a boolean port, and the bits of elements one of a
    /// small type, as for [`View::new`].
    pub fn new<T: Element>(elements: &'a mut [T]) -> Self {
        Self {
            dtype: T::DTYPE,
            pointer: elements.as_mut_ptr().cast(),
            bytes: size_of_val(elements),
            elements: PhantomData,
        }
    }
}

/// The product of extents; at most what can be counted.
fn count(extents: &[usize]) -> usize {
    extents.iter().fold(1, |n, extent| n.saturating_mul(*extent))
}

impl Session<'_> {
    pub(super) fn port_shape(&self, port: usize) -> Shape {
        let raw = self.program.image().port(port);
        raw.shape.iter().map(|w| Extent(*w).value(self.dims()).max(0) as usize).collect()
    }

    /// Shape of input `i` under the present extents.
    ///
    /// **Errors**: no such input.
    pub fn input_shape(&self, i: usize) -> Result<Shape, BindError> {
        self.check_input(i)?;
        Ok(self.port_shape(i))
    }

    /// Shape of output `i` under the present extents. A shape that depends on the data is that of
    /// the last run.
    ///
    /// **Errors**: no such output.
    pub fn output_shape(&self, i: usize) -> Result<Shape, BindError> {
        self.check_output(i).map(|port| self.port_shape(port))
    }

    pub(super) fn check_input(&self, i: usize) -> Result<(), BindError> {
        if i < self.program.image().inputs_len() { Ok(()) } else { Err(BindError::NotFound) }
    }

    /// Position of output `i` among all ports.
    pub(super) fn check_output(&self, i: usize) -> Result<usize, BindError> {
        let image = self.program.image();
        if i < image.outputs_len() { Ok(image.inputs_len() + i) } else { Err(BindError::NotFound) }
    }

    fn check_type(expected: DType, got: DType) -> Result<(), BindError> {
        // Booleans and small types are also their bits.
        if expected == got || expected.plain() == got {
            return Ok(());
        }
        Err(BindError::DType { expected, got })
    }

    /// Where port `port` lives, and its bytes under the present extents.
    fn place(&self, port: usize) -> Result<(*mut u8, usize), BindError> {
        let raw = self.program.image().port(port);
        let shape = self.port_shape(port);
        if raw.room.is_some_and(|(axis, _)| count(&shape[..axis]) > 1) {
            return Err(BindError::InPlace);
        }
        let bytes = count(&shape).saturating_mul(raw.dtype.bytes());
        let base = self.tables.view(&self.block).1[PORTS as usize + port];
        Ok((base.pointer, bytes.min(base.len)))
    }

    /// Copies the elements of output `i` of the last run, row-major, also those of a cache that
    /// grows in place.
    ///
    /// **Errors**: no such output; another element type; `to` has another length. `to` is
    /// unchanged then.
    pub fn copy_output<T: Element>(&self, i: usize, to: &mut [T]) -> Result<(), BindError> {
        let port = self.check_output(i)?;
        self.check_elements::<T>(port, to.len())?;
        let mut at = 0;
        self.each_run(port, |pointer, len| {
            // SAFETY: `each_run` gives runs inside this session's block, which is borrowed.
            #[allow(unsafe_code)]
            let run: &[T] = unsafe { elements(pointer, len) };
            to[at..at + len].copy_from_slice(run);
            at += len;
        });
        Ok(())
    }

    /// Copies elements into input `i`, row-major, also into a cache that grows in place.
    ///
    /// **Errors**: no such input; another element type; `from` has another length. The input is
    /// unchanged then.
    pub fn copy_input<T: Element>(&mut self, i: usize, from: &[T]) -> Result<(), BindError> {
        self.check_input(i)?;
        self.check_elements::<T>(i, from.len())?;
        let mut at = 0;
        self.each_run(i, |pointer, len| {
            // SAFETY: as for `copy_output`, borrowed for writing.
            #[allow(unsafe_code)]
            let run: &mut [T] = unsafe { elements_mut(pointer, len) };
            run.copy_from_slice(&from[at..at + len]);
            at += len;
        });
        Ok(())
    }

    fn check_elements<T: Element>(&self, port: usize, len: usize) -> Result<(), BindError> {
        Self::check_type(self.program.image().port(port).dtype, T::DTYPE)?;
        let (expected, got) = (count(&self.port_shape(port)), len);
        let bytes = |len: usize| len.saturating_mul(size_of::<T>());
        if expected == got {
            return Ok(());
        }
        Err(BindError::Length { expected: bytes(expected), got: bytes(got) })
    }

    /// Calls `run` with each run of elements of a port that lie behind one another, and how many.
    fn each_run(&self, port: usize, mut run: impl FnMut(*mut u8, usize)) {
        let raw = self.program.image().port(port);
        let shape = self.port_shape(port);
        let base = self.tables.view(&self.block).1[PORTS as usize + port];
        let (axis, room) = raw.room.unwrap_or((0, *shape.first().unwrap_or(&1)));
        if shape.contains(&0) {
            return;
        }
        let (outer, inner) = (count(&shape[..axis]), count(shape.get(axis + 1..).unwrap_or(&[])));
        let len = inner.saturating_mul(shape.get(axis).copied().unwrap_or(1));
        let width = raw.dtype.bytes();
        let apart = room.saturating_mul(inner).saturating_mul(width);
        let end = (outer - 1).saturating_mul(apart).saturating_add(len.saturating_mul(width));
        assert!(end <= base.len, "a port outside its memory");
        for i in 0..outer {
            run(base.pointer.wrapping_add(i * apart), len);
        }
    }

    /// The elements of input `i`, to be written. They keep their values from run to run.
    ///
    /// **Errors**: no such input; another element type. A boolean input is bytes (`u8`); one of a
    /// small type is its bits (`u16`, `u8`) or, of 16 bits, [`F16`](crate::tensor::F16) or
    /// [`Bf16`](crate::tensor::Bf16).
    #[allow(unsafe_code)]
    pub fn input_mut<T: Element>(&mut self, i: usize) -> Result<&mut [T], BindError> {
        self.check_input(i)?;
        Self::check_type(self.program.image().port(i).dtype, T::DTYPE)?;
        let (pointer, bytes) = self.place(i)?;
        // SAFETY: the port's home lies in this session's block, which is borrowed for writing.
        Ok(unsafe { elements_mut(pointer, bytes / size_of::<T>()) })
    }

    /// The bytes of input `i`, to be written.
    ///
    /// **Errors**: no such input.
    #[allow(unsafe_code)]
    pub fn input_bytes_mut(&mut self, i: usize) -> Result<&mut [u8], BindError> {
        self.check_input(i)?;
        let (pointer, bytes) = self.place(i)?;
        // SAFETY: as for `input_mut`.
        Ok(unsafe { elements_mut(pointer, bytes) })
    }

    /// The elements of output `i` of the last run. Before the first run they are zero.
    ///
    /// **Errors**: no such output; another element type. A boolean output is bytes (`u8`); one of
    /// a small type as for [`Session::input_mut`].
    #[allow(unsafe_code)]
    pub fn output<T: Element>(&self, i: usize) -> Result<&[T], BindError> {
        let port = self.check_output(i)?;
        Self::check_type(self.program.image().port(port).dtype, T::DTYPE)?;
        let (pointer, bytes) = self.place(port)?;
        // SAFETY: the port's home lies in this session's block, which is borrowed.
        Ok(unsafe { elements(pointer, bytes / size_of::<T>()) })
    }

    /// The bytes of output `i` of the last run.
    ///
    /// **Errors**: no such output.
    #[allow(unsafe_code)]
    pub fn output_bytes(&self, i: usize) -> Result<&[u8], BindError> {
        let (pointer, bytes) = self.place(self.check_output(i)?)?;
        // SAFETY: as for `output`.
        Ok(unsafe { elements(pointer, bytes) })
    }

    pub(super) fn check_view(
        &self,
        port: usize,
        dtype: DType,
        bytes: usize,
        address: usize,
    ) -> Result<(), BindError> {
        let image = self.program.image();
        let raw = image.port(port);
        Self::check_type(raw.dtype, dtype)?;
        if raw.home != ARENA {
            return Err(BindError::State);
        }
        if raw.measured {
            return Err(BindError::Measured);
        }
        let expected = count(&self.port_shape(port)).saturating_mul(raw.dtype.bytes());
        if expected != bytes {
            return Err(BindError::Length { expected, got: bytes });
        }
        if !address.is_multiple_of(raw.dtype.bytes()) {
            return Err(BindError::Misaligned);
        }
        Ok(())
    }
}
