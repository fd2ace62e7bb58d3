//! What every cell links: variable store, display, panic guard.
