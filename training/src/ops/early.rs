//! Gradients of parameters before the backward pass has ended: candle hands all of them over at its end only, but the
//! operations of this crate know theirs when it passes them.

use std::cell::RefCell;

use candle_core::Tensor;

type Listener = Box<dyn FnMut(&Tensor, &Tensor)>;

thread_local! {
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// Calls `act`, and `listener` with each parameter and gradient that an operation adds on this thread meanwhile. The
/// gradient of a parameter that is used elsewhere too is only a part of the whole one.
pub(crate) fn listen<R>(
    listener: impl FnMut(&Tensor, &Tensor) + 'static,
    act: impl FnOnce() -> R,
) -> R {
    /// Also when `act` panics.
    struct Silence;
    impl Drop for Silence {
        fn drop(&mut self) {
            LISTENER.set(None);
        }
    }
    let _silence = Silence;
    LISTENER.set(Some(Box::new(listener)));
    act()
}

pub(super) fn tell(parameter: &Tensor, gradient: &Tensor) {
    if parameter.is_variable() {
        LISTENER.with_borrow_mut(|listener| {
            if let Some(listener) = listener {
                listener(parameter, gradient);
            }
        });
    }
}
