//! What the main thread waits for, from the kernel and from the thread that runs cells.

use carrel_protocol::{Ending, Request};

/// What the main thread waits for.
pub enum Event {
    Request(Request),
    /// How the running cell ended.
    Ended(Ending),
    /// The kernel has closed its end.
    Closed,
}
