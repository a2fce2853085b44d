//! What a reduction reads.

/// The tensors that go into a reduction: x, and dy for the backward sums.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<T> {
    pub(crate) dy: Option<T>,
    pub(crate) x: T,
}

impl<T: Copy> Inputs<T> {
    pub(crate) fn of(x: T) -> Self {
        Self { dy: None, x }
    }

    pub(crate) fn map<U>(self, mut convert: impl FnMut(T) -> U) -> Inputs<U> {
        Inputs { dy: self.dy.map(&mut convert), x: convert(self.x) }
    }

    /// dy, if there is one, then x: the order in which edges keep them.
    pub(crate) fn iter(self) -> impl Iterator<Item = T> {
        self.dy.into_iter().chain([self.x])
    }
}
