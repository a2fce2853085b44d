//! Kernels that look at each element once.

use syncbn_core::Layout;

use crate::dispatch::{Binding, Dispatch, WORKGROUP, flat, vectors, word};
use crate::error::GpuError;
use crate::gpu::Gpu;
use crate::merge::single_eps;
use crate::pipelines::Kernel;
use crate::shaders::Shader;
use crate::tiles::is_contiguous;

/// Values of a side of a tile of `permute`.
pub(crate) const TILE: usize = 16;

/// Rows inside a buffer: row i begins at element `offset + i · stride`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Handle of the buffer.
    pub buffer: u32,
    /// Where the first row begins.
    pub offset: usize,
    /// From the beginning of a row to that of the next.
    pub stride: usize,
}

/// What `normalize` is given, as handles; `y` may be `x`, weight and bias may be 0.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the tensors of the formula")]
pub struct Normalize {
    pub x: u32,
    pub y: u32,
    pub layout: Layout,
    pub statistics: u32,
    pub weight: u32,
    pub bias: u32,
}

/// What `backward_input` is given, as handles; `dx` may be `dy`, `weight` may be 0.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the tensors of the formula")]
pub struct BackwardInput {
    pub x: u32,
    pub dy: u32,
    pub dx: u32,
    pub layout: Layout,
    pub statistics: u32,
    pub weight: u32,
}

impl Gpu {
    /// `target[i] = value`.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], and what has failed before.
    pub fn fill(&mut self, target: u32, value: f32) -> Result<(), GpuError> {
        let vectors = vectors(self.memory.length(target)?);
        let params = vec![word(vectors), value.to_bits()];
        let kernel = Kernel::new(Shader::Fill, "fill", &[]);
        self.run(&[flat(kernel, params, vec![self.writable(target)?], vectors, 0)])
    }

    /// `target[i] = a[i] + b[i]`; `target` may be `a` or `b`.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], and what has failed before.
    pub fn add(&mut self, a: u32, b: u32, target: u32) -> Result<(), GpuError> {
        let vectors = vectors(self.memory.length(target)?);
        let constants = [("A_IS_TARGET", u32::from(a == target)), ("B_IS_TARGET", u32::from(b == target))];
        let operand = |handle| if handle == target { Ok(Binding::AbsentInput) } else { self.binding(handle) };
        let bindings = vec![operand(a)?, operand(b)?, self.writable(target)?];
        self.run(&[flat(Kernel::new(Shader::Add, "add", &constants), vec![word(vectors)], bindings, vectors, 2)])
    }

    /// Copies rows to another buffer.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], and what has failed before.
    pub fn copy_rows(&mut self, source: Rows, target: Rows, row_length: usize, rows: usize) -> Result<(), GpuError> {
        let values = row_length * rows;
        if values == 0 {
            return Ok(());
        }
        let params = [values, row_length, source.offset, source.stride, target.offset, target.stride];
        let bytes = 4 * values as u64;
        self.run(&[Dispatch {
            kernel: Kernel::new(Shader::CopyRows, "copy_rows", &[]),
            params: params.map(word).into(),
            bindings: vec![self.binding(source.buffer)?, self.writable(target.buffer)?],
            workgroups: values.div_ceil(WORKGROUP) as u64,
            bytes_read: bytes,
            bytes_written: bytes,
        }])
    }

    /// Rearranges from the format of `layout` to the other one.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], and what has failed before.
    pub fn permute(&mut self, source: u32, target: u32, layout: &Layout) -> Result<(), GpuError> {
        let (channels, length) = (layout.channels(), layout.length());
        let (rows, columns) = if is_contiguous(layout) { (channels, length) } else { (length, channels) };
        if layout.elements() == 0 {
            return Ok(());
        }
        let tiles = layout.samples() * rows.div_ceil(TILE) * columns.div_ceil(TILE);
        let bytes = 4 * layout.elements() as u64;
        self.run(&[Dispatch {
            kernel: Kernel::new(Shader::Permute, "permute", &[]),
            params: [layout.samples(), rows, columns].map(word).into(),
            bindings: vec![self.binding(source)?, self.writable(target)?],
            workgroups: tiles as u64,
            bytes_read: bytes,
            bytes_written: bytes,
        }])
    }

    /// Statistics from the running ones.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], and what has failed before.
    pub fn evaluation_statistics(
        &mut self,
        running_mean: u32,
        running_var: u32,
        eps: f64,
        statistics: u32,
    ) -> Result<(), GpuError> {
        let channels = self.memory.length(running_mean)?;
        let bindings = vec![self.binding(running_mean)?, self.binding(running_var)?, self.writable(statistics)?];
        self.run(&[Dispatch {
            kernel: Kernel::new(Shader::EvaluationStatistics, "evaluation_statistics", &[]),
            params: vec![word(channels), single_eps(eps).to_bits()],
            bindings,
            workgroups: channels.div_ceil(WORKGROUP) as u64,
            bytes_read: 8 * channels as u64,
            bytes_written: 16 * channels as u64,
        }])
    }

    /// y = (x − mean)·invstd·w + b.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], and what has failed before.
    pub fn normalize(&mut self, args: &Normalize) -> Result<(), GpuError> {
        let dispatch = self.normalizing(args)?;
        self.run(&dispatch)
    }

    pub(crate) fn normalizing(&self, args: &Normalize) -> Result<Vec<Dispatch>, GpuError> {
        let in_place = args.x == args.y;
        let x = if in_place { Binding::AbsentInput } else { self.binding(args.x)? };
        let bindings = vec![
            x,
            self.writable(args.y)?,
            self.binding(args.statistics)?,
            self.input(args.weight)?,
            self.input(args.bias)?,
        ];
        let flags = u32::from(args.weight != 0) + 2 * u32::from(args.bias != 0);
        let runs = self.runs(args.layout);
        Ok(runs.dispatch(runs.kernel(Shader::Normalize, in_place), flags, bindings, 1))
    }

    /// dx = (dy − (x − centre)·slope − offset)·scale with the rows of `plane`; of constant statistics dx = dy·scale.
    pub(crate) fn input_gradient(
        &self,
        args: &BackwardInput,
        of_batch: bool,
        plane: &wgpu::Buffer,
    ) -> Result<Vec<Dispatch>, GpuError> {
        let in_place = args.dx == args.dy;
        let dy = if in_place { Binding::AbsentInput } else { self.binding(args.dy)? };
        let bindings = vec![self.binding(args.x)?, dy, self.writable(args.dx)?, Binding::Buffer(plane.clone())];
        let runs = self.runs(args.layout);
        let kernel = runs.kernel(Shader::BackwardInput, in_place);
        Ok(runs.dispatch(kernel, u32::from(!of_batch), bindings, if of_batch { 2 } else { 1 }))
    }
}
