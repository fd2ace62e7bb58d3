//! What can be plotted: numbers of all types, and pairs of them.

/// A number of any type; more digits than an `f64` has are lost.
pub trait Number: Copy {
    fn as_f64(self) -> f64;
}

/// A number, or a pair `(x, y)`, or a reference to one.
pub trait Datum {
    /// `(x, y)`; of a number, `x` is its place among the others.
    fn point(self, index: usize) -> (f64, f64);
}

macro_rules! numbers {
    ($($type:ty)*) => {
        $(impl Number for $type {
            fn as_f64(self) -> f64 {
                self as f64
            }
        })*
    };
}

numbers! { f32 f64 i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }

impl<N: Number> Number for &N {
    fn as_f64(self) -> f64 {
        (*self).as_f64()
    }
}

impl<N: Number> Datum for N {
    fn point(self, index: usize) -> (f64, f64) {
        (index as f64, self.as_f64())
    }
}

impl<X: Number, Y: Number> Datum for (X, Y) {
    fn point(self, _: usize) -> (f64, f64) {
        (self.0.as_f64(), self.1.as_f64())
    }
}

impl<X: Number, Y: Number> Datum for &(X, Y) {
    fn point(self, index: usize) -> (f64, f64) {
        (*self).point(index)
    }
}
