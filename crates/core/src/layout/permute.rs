//! From (N, C, L) to (N, L, C) and back.

use crate::error::KernelError;
use crate::layout::batch::{Format, Layout};
use crate::layout::transpose::transpose;
use crate::simd::Native;

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
        transpose::<Native>(source, columns, target, rows);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_other_format_has_each_value_at_its_place_and_back() {
        for (samples, channels, length) in [(2, 3, 5), (1, 16, 16), (3, 17, 33), (0, 4, 7), (2, 40, 1)] {
            let contiguous = Layout::new(samples, channels, length, Format::Contiguous).expect("a moderate shape");
            let last = Layout::new(samples, channels, length, Format::ChannelsLast).expect("a moderate shape");
            let source: Vec<f32> = (0_u16..).map(f32::from).take(contiguous.elements()).collect();
            let [mut rows, mut back] = [(); 2].map(|()| vec![f32::NAN; source.len()]);
            permute(&source, &mut rows, &contiguous).expect("lengths fit");
            for (place, value) in source.iter().enumerate() {
                let (sample, channel, position) =
                    (place / (channels * length), place / length % channels, place % length);
                assert_eq!(rows[(sample * length + position) * channels + channel].to_bits(), value.to_bits());
            }
            permute(&rows, &mut back, &last).expect("lengths fit");
            assert_eq!(back, source);
        }
    }
}
