//! Tests of the Hub, one file per topic.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accept_share;
mod accounts;
mod activity;
mod addresses;
mod apart;
mod api;
mod audit;
mod chart;
mod cluster;
mod config;
mod crash;
mod cull;
mod foreign;
mod groups;
mod guessing;
mod harness;
mod local;
mod login;
mod oauth;
mod options;
mod orphans;
mod others;
mod pages;
mod queue;
mod quota;
mod removal;
mod replicas;
mod roles;
mod routing;
mod scale;
mod servers;
mod shares;
mod storage;
mod tokens;
mod users;
