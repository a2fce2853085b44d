//! From (N, C, L) to (N, L, C) and back.

use crate::error::KernelError;
use crate::layout::{Format, Layout};

/// Rows and columns that are moved together: 16 values are one line of cache.
const TILE: usize = 16;

/// Rearranges from the format of `layout` to the other one.
///
/// # Errors
/// If a tensor is not as long as the layout says.
pub fn permute(source: &[f32], target: &mut [f32], layout: &Layout) -> Result<(), KernelError> {
    layout.expect_tensor("source", source)?;
    layout.expect_tensor("target", target)?;
    let (rows, columns) = match layout.format() {
        Format::Contiguous => (layout.channels(), layout.length()),
        Format::ChannelsLast => (layout.length(), layout.channels()),
    };
    let samples = source.chunks_exact(rows * columns).zip(target.chunks_exact_mut(rows * columns));
    for (source, target) in samples {
        transpose(source, target, rows, columns);
    }
    Ok(())
}

fn transpose(source: &[f32], target: &mut [f32], rows: usize, columns: usize) {
    for row in (0..rows).step_by(TILE) {
        for column in (0..columns).step_by(TILE) {
            let last_row = (row + TILE).min(rows);
            for column in column..(column + TILE).min(columns) {
                let target = &mut target[column * rows..][row..last_row];
                for (row, target) in (row..last_row).zip(target) {
                    *target = source[row * columns + column];
                }
            }
        }
    }
}
