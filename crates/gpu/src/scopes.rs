//! What the platform says of some commands alone: whether it has refused them. Others are not told of it.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};

use crate::context::{Context, Failures, reported};
use crate::error::GpuError;

/// What an error scope has caught.
type Caught = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

enum State {
    /// The commands have not been given to the platform yet.
    Waiting(Option<Waker>),
    Given(Caught),
    /// The device is gone.
    Abandoned,
}

/// What the commands of a scope owe to whoever gave them.
pub(crate) struct Verdict(Rc<RefCell<State>>);

impl Verdict {
    pub(crate) fn come(self, caught: Caught) {
        self.settle(State::Given(caught));
    }

    fn settle(&self, state: State) {
        if let State::Waiting(Some(waker)) = self.0.replace(state) {
            waker.wake();
        }
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        if matches!(*self.0.borrow(), State::Waiting(_)) {
            self.settle(State::Abandoned);
        }
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Verdict")
    }
}

/// Resolves once the platform has accepted the commands of a scope. Natively somebody must poll the device.
pub(crate) struct Confirmation {
    state: Rc<RefCell<State>>,
    failures: Failures,
}

impl Confirmation {
    pub(crate) fn promised(context: &Context) -> (Verdict, Self) {
        let state = Rc::new(RefCell::new(State::Waiting(None)));
        (Verdict(Rc::clone(&state)), Self { state, failures: context.failures.clone() })
    }
}

impl Future for Confirmation {
    type Output = Result<(), GpuError>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let caught = match &mut *self.state.borrow_mut() {
            State::Waiting(waker) => {
                *waker = Some(task.waker().clone());
                return Poll::Pending;
            }
            State::Given(caught) => match caught.as_mut().poll(task) {
                Poll::Ready(caught) => caught,
                Poll::Pending => return Poll::Pending,
            },
            State::Abandoned => None,
        };
        // A lost device refuses nothing, and does nothing.
        Poll::Ready(self.failures.check_lost().and(caught.map_or(Ok(()), |error| Err(reported(error)))))
    }
}
