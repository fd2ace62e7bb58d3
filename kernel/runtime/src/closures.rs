//! Signatures of closures, which have no names of their own: from one the kernel learns the box to keep a closure in.

/// A closure with its arguments as a tuple.
pub trait Callable<Arguments> {
    /// `fn(Arguments) -> Result`.
    type Signature;
}

macro_rules! callable {
    ($($argument:ident)*) => {
        impl<F, Return, $($argument),*> Callable<($($argument,)*)> for F
        where
            F: FnOnce($($argument),*) -> Return,
        {
            type Signature = fn($($argument),*) -> Return;
        }
    };
}

callable!();
callable!(A);
callable!(A B);
callable!(A B C);
callable!(A B C D);
callable!(A B C D E);
callable!(A B C D E G);

/// A pointer to nothing, whose type the kernel reads in the compiler's output.
pub fn signature<Arguments, F: Callable<Arguments>>(_: &F) -> *const F::Signature {
    std::ptr::null()
}
