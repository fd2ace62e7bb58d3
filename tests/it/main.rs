//! The whole path from outside: what a person, an administrator and Jupyter see.

mod browser;
mod circles;
mod cluster;
mod crash;
mod cull;
mod jupyterhub;
mod kernel;
mod make_run;
mod pages;
mod refusals;
mod tidy;
mod widgets;
