//! Reverse proxy of Carrel: a route table, HTTP streaming and websockets.
