//! The table of commands: what a device can be asked to compute.
//!
//! A command crosses from JavaScript as its number, a list of numbers (`words`) and at most one array of bytes. Its number is its
//! place in the table. Its fields fill the words in the order of the table. `ts/device/commands.ts` has the same table; a test
//! compares the two row by row. To add a command, see "A new kernel" in CONTRIBUTING.md.

#![no_std]

mod kinds;
mod words;

pub use kinds::{
    Batch, Bytes, Channels, Count, EpsMode, Field, Flag, Input, Number, Numerics, OptionalBytes, OptionalChannels,
    OptionalCount, OptionalInput, OptionalNumber, OptionalOutput, Output,
};
pub use words::{CommandError, Words};

/// Makes an enum of a table, a variant for each row, and the function that decodes it.
macro_rules! table {
    ($(#[$about:meta])* $table:ident: $($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ident),* $(,)? })*) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[allow(missing_docs, reason = "fields bear the names of the formula")]
        pub enum $table<'a> {
            $($(#[$doc])* $name { $($field: <$kind as Field>::Value<'a>),* }),*
        }

        impl<'a> $table<'a> {
            /// The row of this number, with its fields, which are the next words.
            ///
            /// # Errors
            /// [`CommandError`] for a number that no row has, and for a batch that cannot be.
            pub fn decode(number: u32, words: &mut Words<'a>) -> Result<Self, CommandError> {
                enum Place { $($name),* }
                $(if number == Place::$name as u32 {
                    return Ok(Self::$name { $($field: <$kind as Field>::read(words)?),* });
                })*
                Err(CommandError::Unknown { number })
            }
        }
    };
}

table! {
    /// A command whose results stay in buffers.
    Command:
    /// `target[i] = value`.
    Fill { target: Output, value: Number }
    /// `target[i] = a[i] + b[i]`; `target` may be `a` or `b`.
    Add { a: Input, b: Input, target: Output }
    /// Rearranges from the memory format of `layout` to the other one.
    Permute { source: Input, target: Output, layout: Batch }
    /// The whole training forward of a batch.
    BatchNorm {
        x: Input,
        y: Output,
        layout: Batch,
        numerics: Numerics,
        eps: Number,
        weight: OptionalInput,
        bias: OptionalInput,
        statistics: Output,
        mean: OptionalInput,
        variance: OptionalInput,
        next_mean: OptionalOutput,
        next_variance: OptionalOutput,
        momentum: OptionalNumber,
        correction: OptionalCount,
    }
    /// The whole backward of a batch.
    BatchNormBackward {
        x: Input,
        dy: Input,
        dx: OptionalOutput,
        layout: Batch,
        statistics: Input,
        weight: OptionalInput,
        dweight: OptionalOutput,
        dbias: OptionalOutput,
        batch_statistics: Flag,
    }
    /// Statistics of a whole batch.
    Finalize { merged: Bytes, eps: Number, eps_mode: EpsMode, statistics: Output, part: OptionalChannels }
    /// The running statistics after a batch.
    UpdateRunning {
        merged: Bytes,
        mean: Input,
        variance: Input,
        next_mean: Output,
        next_variance: Output,
        momentum: Number,
        correction: Count,
        part: OptionalChannels,
    }
    /// Statistics from the running ones.
    EvaluationStatistics { statistics: Output, mean: Input, variance: Input, numerics: Numerics, eps: Number }
    /// y = (x − mean)·invstd·weight + bias.
    Normalize {
        x: Input,
        y: Output,
        layout: Batch,
        numerics: Numerics,
        statistics: Input,
        weight: OptionalInput,
        bias: OptionalInput,
    }
    /// Gradients of weight and bias.
    BackwardParameters {
        sums: Bytes,
        statistics: Input,
        dweight: OptionalOutput,
        dbias: OptionalOutput,
        part: OptionalChannels,
    }
    /// Gradient of the input.
    BackwardInput {
        x: Input,
        dy: Input,
        dx: Output,
        layout: Batch,
        statistics: Input,
        weight: OptionalInput,
        sums: OptionalBytes,
        clamp_eps: OptionalNumber,
    }
}

table! {
    /// A command whose result is the bytes of a partial.
    Reduction:
    /// Count, mean and M2.
    Moments { x: Input, layout: Batch, first_sample: Number }
    /// Σx in f64.
    Total { x: Input, layout: Batch, first_sample: Number }
    /// Σ(x − mean)², rounded as PyTorch rounds.
    Deviations { x: Input, layout: Batch, first_sample: Number, total: Bytes }
    /// Σdy and Σdy·(x − mean).
    BackwardReduce { x: Input, dy: Input, layout: Batch, first_sample: Number, statistics: Input }
}
