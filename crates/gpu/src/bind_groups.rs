//! What is bound to kernels, kept for the next step: in its steady state it binds the same buffers to the same kernels.

use std::collections::HashMap;

use crate::dispatch::{Binding, Dispatch};

/// Enough for the layers of a network, whose buffers take turns; beyond it all are made anew.
const MOST: usize = 4096;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    /// Its number.
    pipeline: usize,
    /// Of the parameters.
    slot: usize,
    bindings: Vec<Binding>,
}

#[derive(Debug, Default)]
pub(crate) struct BindGroups {
    kept: HashMap<Key, wgpu::BindGroup>,
    /// Since the beginning.
    made: usize,
}

impl BindGroups {
    pub(crate) fn get(
        &mut self,
        pipeline: usize,
        dispatch: &Dispatch,
        slot: usize,
        make: impl FnOnce() -> wgpu::BindGroup,
    ) -> &wgpu::BindGroup {
        if self.kept.len() >= MOST {
            self.kept.clear();
        }
        let key = Key { pipeline, slot, bindings: dispatch.bindings.clone() };
        self.kept.entry(key).or_insert_with(|| {
            self.made += 1;
            make()
        })
    }

    pub(crate) fn made(&self) -> usize {
        self.made
    }

    /// Lets go of all buffers.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}
