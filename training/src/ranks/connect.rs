//! How the ranks find one another: all join at rank 0, which tells everyone where the others listen; then each calls
//! those below it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use super::handshake::{self, Introduction, Purpose};
use super::pulse::Pulse;
use super::{Environment, Meeting, Peer, Ranks, RanksError};

/// Between two tries, of calling and of accepting.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) fn connect(meeting: &Meeting) -> Result<Ranks, RanksError> {
    if meeting.environment.world == 1 {
        return Ok(Ranks::alone());
    }
    let end = Instant::now() + meeting.start_within;
    let mut ranks = match meeting.environment.rank {
        0 => lead(meeting, end)?,
        _ => join(meeting, end)?,
    };
    // Nobody begins before all are connected, so that the time to start does not count as silence.
    ranks.barrier()?;
    Ok(ranks)
}

/// Rank 0: waits for the others, sends them the list, and is called by all of them.
fn lead(meeting: &Meeting, end: Instant) -> Result<Ranks, RanksError> {
    let Environment { world, port, .. } = meeting.environment;
    let listener = listen(port)?;
    let mut controls: Vec<Option<TcpStream>> = (0..world).map(|_| None).collect();
    let mut addresses: Vec<Option<SocketAddr>> = vec![None; world];
    let mut refused = String::new();
    while controls.iter().skip(1).any(Option::is_none) {
        let Some(mut stream) = accept(&listener, meeting, end)? else {
            let rank = (1..world).filter(|rank| controls[*rank].is_none());
            return Err(missing(meeting, rank.collect(), refused));
        };
        let mut different = None;
        let judge = |peer: &Introduction| {
            admissible(peer, meeting, &controls)?;
            if peer.configuration == meeting.whole_configuration() {
                return Ok(());
            }
            let error = RanksError::Configuration {
                rank: peer.rank,
                ours: meeting.whole_configuration(),
                theirs: peer.configuration.clone(),
            };
            let reason = error.to_string();
            different = Some(error);
            Err(reason)
        };
        match handshake::accept(&mut stream, &meeting.secret, judge) {
            Ok(peer) => {
                if let (Purpose::Join { port }, Ok(address)) = (&peer.purpose, stream.peer_addr()) {
                    addresses[peer.rank] = Some(SocketAddr::new(address.ip(), *port));
                    controls[peer.rank] = Some(stream);
                }
            }
            // Whoever else calls at this port must not end the job.
            Err(error) => match different {
                Some(different) => return Err(different),
                None => refused = format!("; {error}"),
            },
        }
    }
    let list: Vec<Option<SocketAddr>> = addresses;
    for control in controls.iter_mut().flatten() {
        handshake::send(control, &list)?;
    }
    let peers = accept_data(&listener, meeting, (1..world).collect(), end)?;
    let peers = std::iter::once(None).chain(peers).collect();
    assemble(meeting, peers, controls)
}

/// Why a peer cannot join. Another configuration is told to both sides.
fn admissible(
    peer: &Introduction,
    meeting: &Meeting,
    controls: &[Option<TcpStream>],
) -> Result<(), String> {
    let world = meeting.environment.world;
    if peer.world != world {
        return Err(format!(
            "it expects {} ranks, rank 0 expects {world}",
            peer.world
        ));
    }
    if peer.rank == 0 || peer.rank >= world || controls[peer.rank].is_some() {
        return Err(format!(
            "there is a rank {} already, or it is none of {world}",
            peer.rank
        ));
    }
    match peer.purpose {
        Purpose::Join { .. } => Ok(()),
        Purpose::Data => Err("not all ranks have joined".to_owned()),
    }
}

/// Another rank: calls rank 0 until it is there, then those below.
fn join(meeting: &Meeting, end: Instant) -> Result<Ranks, RanksError> {
    let Environment {
        rank,
        world,
        ref host,
        port,
        ..
    } = meeting.environment;
    let listener = listen(0)?;
    let own_port = listener.local_addr().map_err(io_error("this rank"))?.port();
    let mut control = call(host, port, meeting, end)?;
    let leader = control.peer_addr().map_err(io_error(host))?;
    let introduce = |purpose| Introduction {
        rank,
        world,
        configuration: meeting.whole_configuration(),
        purpose,
    };
    handshake::introduce(
        &mut control,
        &meeting.secret,
        &introduce(Purpose::Join { port: own_port }),
    )?;
    let left = end.saturating_duration_since(Instant::now());
    let patience = Some(left.max(Duration::from_millis(1)));
    control.set_read_timeout(patience).map_err(io_error(host))?;
    let mut addresses: Vec<Option<SocketAddr>> = handshake::receive(&mut control)?;
    addresses.resize(world, None);
    addresses[0] = Some(leader);
    let mut peers = Vec::new();
    for address in &addresses[..rank] {
        let address = address.ok_or_else(|| missing(meeting, vec![peers.len()], String::new()))?;
        let mut stream = TcpStream::connect(address).map_err(io_error(&address.to_string()))?;
        handshake::introduce(&mut stream, &meeting.secret, &introduce(Purpose::Data))?;
        let name = name(meeting, peers.len(), &address.to_string());
        peers.push(Some(Peer { stream, name }));
    }
    peers.push(None);
    peers.extend(accept_data(
        &listener,
        meeting,
        (rank + 1..world).collect(),
        end,
    )?);
    let mut controls: Vec<Option<TcpStream>> = (0..world).map(|_| None).collect();
    controls[0] = Some(control);
    assemble(meeting, peers, controls)
}

/// The connections of the given ranks, in their order.
fn accept_data(
    listener: &TcpListener,
    meeting: &Meeting,
    ranks: Vec<usize>,
    end: Instant,
) -> Result<Vec<Option<Peer>>, RanksError> {
    let mut peers: Vec<Option<Peer>> = ranks.iter().map(|_| None).collect();
    while peers.iter().any(Option::is_none) {
        let Some(mut stream) = accept(listener, meeting, end)? else {
            let absent = ranks.iter().zip(&peers).filter(|(_, peer)| peer.is_none());
            let absent = absent.map(|(rank, _)| *rank).collect();
            return Err(missing(meeting, absent, String::new()));
        };
        let expected = |peer: &Introduction| match ranks.contains(&peer.rank) {
            true if peer.purpose == Purpose::Data => Ok(()),
            _ => Err(format!("rank {} is not expected here", peer.rank)),
        };
        // Strangers are sent away.
        if let Ok(peer) = handshake::accept(&mut stream, &meeting.secret, expected)
            && let Some(place) = ranks.iter().position(|rank| *rank == peer.rank)
        {
            let address = stream.peer_addr().map_err(io_error("a peer"))?;
            let name = name(meeting, peer.rank, &address.to_string());
            peers[place] = Some(Peer { stream, name });
        }
    }
    Ok(peers)
}

fn assemble(
    meeting: &Meeting,
    peers: Vec<Option<Peer>>,
    controls: Vec<Option<TcpStream>>,
) -> Result<Ranks, RanksError> {
    let mut streams = Vec::new();
    for peer in peers.iter().flatten() {
        // The pulse ends the waiting for lost peers; a long computation of a peer is none of its concern.
        peer.stream
            .set_nonblocking(true)
            .map_err(io_error(&peer.name))?;
        streams.push(peer.stream.try_clone().map_err(io_error(&peer.name))?);
    }
    let name = |(rank, control): (usize, Option<TcpStream>)| {
        let control = control?;
        let name = name(meeting, rank, &handshake::address(&control));
        Some((control, name))
    };
    let controls = controls.into_iter().enumerate().map(name).collect();
    let pulse = Pulse::start(controls, streams, meeting.silence)?;
    Ok(Ranks {
        rank: meeting.environment.rank,
        peers,
        servers: 0,
        sequence: 0,
        sum_order: meeting.sum_order,
        rooms: Vec::new(),
        pulse,
    })
}

/// A rank for people: `worker 0 at 10.0.0.1:2222`, or its address.
fn name(meeting: &Meeting, rank: usize, address: &str) -> String {
    match meeting.environment.tasks.get(rank) {
        Some(task) => format!("{task} at {address}"),
        None => address.to_owned(),
    }
}

fn listen(port: u16) -> Result<TcpListener, RanksError> {
    let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
        .map_err(|source| RanksError::Listen { port, source })?;
    listener
        .set_nonblocking(true)
        .map_err(io_error("this rank"))?;
    Ok(listener)
}

/// The next connection, or None at `end`.
fn accept(
    listener: &TcpListener,
    meeting: &Meeting,
    end: Instant,
) -> Result<Option<TcpStream>, RanksError> {
    loop {
        if (meeting.stop)() {
            return Err(RanksError::Stopped);
        }
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).map_err(io_error("a peer"))?;
                return Ok(Some(stream));
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                return Err(io_error("a peer")(error));
            }
            Err(_) if Instant::now() >= end => return Ok(None),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Calls until somebody listens: the name of a pod that starts is not known at first.
fn call(host: &str, port: u16, meeting: &Meeting, end: Instant) -> Result<TcpStream, RanksError> {
    loop {
        if (meeting.stop)() {
            return Err(RanksError::Stopped);
        }
        let tried = (host, port)
            .to_socket_addrs()
            // `localhost` is the IPv6 address first in many systems, and rank 0 listens on IPv4.
            .map(|all| all.filter(SocketAddr::is_ipv4).collect::<Vec<_>>())
            .and_then(|addresses| TcpStream::connect(addresses.as_slice()));
        match tried {
            Ok(stream) => return Ok(stream),
            Err(reason) if Instant::now() >= end => {
                return Err(RanksError::Unreachable {
                    address: format!("{host}:{port}"),
                    seconds: meeting.start_within.as_secs(),
                    reason: reason.to_string(),
                });
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn missing(meeting: &Meeting, missing: Vec<usize>, refused: String) -> RanksError {
    RanksError::Missing {
        world: meeting.environment.world,
        missing,
        seconds: meeting.start_within.as_secs(),
        refused,
    }
}

fn io_error(address: &str) -> impl FnOnce(io::Error) -> RanksError {
    let address = address.to_owned();
    |source| RanksError::Io { address, source }
}
