//! What has been given to a device and not been submitted, and what waits for pipelines.

use std::collections::VecDeque;

use crate::dispatch::{Dispatch, Piece};
use crate::pipelines::{Kernel, Pipelines};
use crate::read_back::Promise;
use crate::scopes::Verdict;

/// What has been given and not been submitted.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The pass that the encoder is in: one for all kernels, until there is something else to encode.
    pub(crate) pass: Option<wgpu::ComputePass<'static>>,
    pub(crate) encoder: Option<wgpu::CommandEncoder>,
    pub(crate) dispatches: usize,
    pub(crate) is_held: bool,
    /// Whether commands wait for pipelines, instead of compiling them at once.
    pub(crate) compiles_later: bool,
    /// Commands that wait, in order. All that came before the first has been submitted.
    pub(crate) waiting: VecDeque<Waiting>,
    /// Commands of the scope that is open.
    pub(crate) scope: Option<Vec<Waiting>>,
}

/// A command that waits for pipelines, its own or those of the commands before it.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Pipelines alone.
    WarmUp(Vec<Kernel>),
    Kernels(Vec<Dispatch>),
    Read(Vec<Dispatch>, Vec<Piece>, Promise),
    Write(wgpu::Buffer, Vec<u8>),
    /// Commands of a scope, which are carried out without a pause.
    Scope(Vec<Waiting>, Verdict),
}

impl Waiting {
    /// The first kernel whose pipeline has not been compiled.
    pub(crate) fn missing(&self, pipelines: &Pipelines) -> Option<Kernel> {
        let is_missing = |kernel: &&Kernel| !pipelines.has(kernel);
        match self {
            Self::WarmUp(kernels) => kernels.iter().find(is_missing).cloned(),
            Self::Kernels(dispatches) | Self::Read(dispatches, ..) => {
                dispatches.iter().map(|dispatch| &dispatch.kernel).find(is_missing).cloned()
            }
            Self::Write(..) => None,
            Self::Scope(commands, _) => commands.iter().find_map(|command| command.missing(pipelines)),
        }
    }
}
