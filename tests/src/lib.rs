//! Black-box tests of the whole path: HTTP, ZeroMQ and a browser only.
