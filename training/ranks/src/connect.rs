//! How the ranks find one another: all join at rank 0, which tells everyone where the others listen; then each calls
//! those below it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use crate::dial::{PAUSE, address, dial, host_and_port};
use crate::door::Door;
use crate::environment::Environment;
use crate::error::{RanksError, io_error};
use crate::handshake::{self, Heard, Introduction, Line, PATIENCE, Purpose};
use crate::meeting::Meeting;
use crate::pulse::Pulse;
use crate::ranks::{Peer, Ranks};
use crate::store;

impl Ranks {
    /// Waits for all ranks. Rank 0 listens at the port of the environment, the others call there.
    ///
    /// # Errors
    /// When a rank does not come in time, lacks the secret, speaks another version or has another configuration.
    pub fn connect(meeting: &Meeting) -> Result<Self, RanksError> {
        if meeting.environment.world == 1 {
            return Ok(Self::alone());
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
}

/// Rank 0: waits for the others, sends them the list, and is called by all of them.
fn lead(meeting: &Meeting, end: Instant) -> Result<Ranks, RanksError> {
    let Environment { world, port, .. } = meeting.environment;
    let door = match &meeting.environment.store {
        None => Door::open(port, meeting)?,
        Some(key) => {
            let door = Door::open(0, meeting)?;
            let port = door.port().map_err(io_error("this rank"))?;
            store::publish(meeting, key, port, end)?;
            door
        }
    };
    let mut controls: Vec<Option<TcpStream>> = (0..world).map(|_| None).collect();
    let mut addresses: Vec<Option<SocketAddr>> = vec![None; world];
    let mut refused = String::new();
    while !are_there(&mut controls[1..]) {
        let Some(guest) = door.next(meeting, end)? else {
            let rank = (1..world).filter(|rank| controls[*rank].is_none());
            return Err(meeting.missing(rank.collect(), refused));
        };
        match guest.and_then(|guest| admit(guest, meeting, &mut controls)) {
            Ok((rank, address)) => addresses[rank] = Some(address),
            Err(error @ RanksError::Configuration { .. }) => return Err(error),
            // Whoever else calls at this port must not end the job.
            Err(error) => refused = format!("; {error}"),
        }
    }
    let controls = controls
        .into_iter()
        .map(|control| control.map(|control| tell(control, &addresses, meeting)));
    let controls = controls
        .map(Option::transpose)
        .collect::<Result<Vec<_>, _>>()?;
    let peers = accept_data(&door, meeting, (1..world).collect(), end)?;
    let peers = std::iter::once(None).chain(peers).collect();
    assemble(meeting, peers, controls)
}

/// Lets a rank join: its number, and where it listens.
fn admit(
    mut guest: Heard,
    meeting: &Meeting,
    controls: &mut [Option<TcpStream>],
) -> Result<(usize, SocketAddr), RanksError> {
    let peer = guest.introduction.clone();
    let ours = meeting.whole_configuration();
    let address = guest.address();
    let refusal = match admissible(&peer, meeting, controls) {
        Err(reason) => RanksError::Protocol { address, reason },
        Ok(_) if peer.configuration != ours => RanksError::Configuration {
            rank: peer.rank,
            ours,
            theirs: peer.configuration.clone(),
        },
        Ok(port) => {
            let stream = guest.welcome(&meeting.secret)?;
            let at = stream.peer_addr().map_err(io_error("a peer"))?.ip();
            controls[peer.rank] = Some(stream);
            return Ok((peer.rank, SocketAddr::new(at.to_canonical(), port)));
        }
    };
    let reason = match &refusal {
        RanksError::Protocol { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    guest.refuse(&reason)?;
    Err(refusal)
}

/// Sends a rank where all others listen.
fn tell(
    control: TcpStream,
    addresses: &[Option<SocketAddr>],
    meeting: &Meeting,
) -> Result<TcpStream, RanksError> {
    let address = handshake::address(&control);
    let line = Line::new(control, PATIENCE, &meeting.stop);
    let mut line = line.map_err(io_error(&address))?;
    line.send(&addresses)?;
    line.into_stream()
}

/// The port of a peer that can join, or why it cannot. Another configuration is told to both sides.
fn admissible(
    peer: &Introduction,
    meeting: &Meeting,
    controls: &[Option<TcpStream>],
) -> Result<u16, String> {
    let world = meeting.environment.world;
    if peer.world != world {
        return Err(format!(
            "it expects {} ranks, rank 0 expects {world}",
            peer.world
        ));
    }
    // One that joined, ended and was started again takes its own place.
    let is_taken = |rank: usize| controls[rank].as_ref().is_some_and(is_there);
    if peer.rank == 0 || peer.rank >= world || is_taken(peer.rank) {
        return Err(format!(
            "there is a rank {} already, or it is none of {world}",
            peer.rank
        ));
    }
    match peer.purpose {
        Purpose::Join { port } => Ok(port),
        Purpose::Data => Err("not all ranks have joined".to_owned()),
    }
}

/// Whether all have joined. The place of one that ended since is free again.
fn are_there(controls: &mut [Option<TcpStream>]) -> bool {
    for control in controls.iter_mut() {
        control.take_if(|stream| !is_there(stream));
    }
    controls.iter().all(Option::is_some)
}

/// Whether the other side still holds a connection at which it has nothing to say yet.
fn is_there(stream: &TcpStream) -> bool {
    let peeked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.peek(&mut [0]));
    let silent = matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    silent && stream.set_nonblocking(false).is_ok()
}

/// Another rank: calls rank 0 until it is there, then those below.
fn join(meeting: &Meeting, end: Instant) -> Result<Ranks, RanksError> {
    let Environment {
        rank,
        world,
        ref host,
        port,
        ref store,
        ..
    } = meeting.environment;
    let door = Door::open(0, meeting)?;
    let own_port = door.port().map_err(io_error("this rank"))?;
    let (host, port) = match store {
        None => (host.clone(), port),
        Some(key) => store::look_up(meeting, key, end)?,
    };
    let introduce = |purpose| Introduction {
        rank,
        world,
        configuration: meeting.whole_configuration(),
        purpose,
    };
    let unreachable = |reason| RanksError::Unreachable {
        address: address(&host, port),
        seconds: meeting.start_within.as_secs(),
        reason,
    };
    let joining = introduce(Purpose::Join { port: own_port });
    let mut control = reach(
        &|| host_and_port(&host, port),
        meeting,
        end,
        &joining,
        &unreachable,
    )?;
    let leader = control.stream().peer_addr().map_err(io_error(&host))?;
    control.renew(end.saturating_duration_since(Instant::now()));
    let mut addresses: Vec<Option<SocketAddr>> = control.receive()?;
    addresses.resize(world, None);
    addresses[0] = Some(leader);
    let mut peers = Vec::new();
    for address in &addresses[..rank] {
        let address = address.ok_or_else(|| meeting.missing(vec![peers.len()], String::new()))?;
        let peer = handshake::canonical(address).to_string();
        let failed = |reason: String| io_error(&peer)(io::Error::other(reason));
        let data = introduce(Purpose::Data);
        let stream = reach(&|| Ok(vec![address]), meeting, end, &data, &failed)?.into_stream()?;
        let name = name(meeting, peers.len(), &peer);
        peers.push(Some(Peer { stream, name }));
    }
    peers.push(None);
    let above = (rank + 1..world).collect();
    peers.extend(accept_data(&door, meeting, above, end)?);
    let mut controls: Vec<Option<TcpStream>> = (0..world).map(|_| None).collect();
    controls[0] = Some(control.into_stream()?);
    assemble(meeting, peers, controls)
}

/// The connections of the given ranks, in their order.
fn accept_data(
    door: &Door,
    meeting: &Meeting,
    ranks: Vec<usize>,
    end: Instant,
) -> Result<Vec<Option<Peer>>, RanksError> {
    let mut peers: Vec<Option<Peer>> = ranks.iter().map(|_| None).collect();
    while peers.iter().any(Option::is_none) {
        let Some(guest) = door.next(meeting, end)? else {
            let absent = ranks.iter().zip(&peers).filter(|(_, peer)| peer.is_none());
            let absent = absent.map(|(rank, _)| *rank).collect();
            return Err(meeting.missing(absent, String::new()));
        };
        // Strangers are sent away.
        let Ok(mut guest) = guest else { continue };
        let rank = guest.introduction.rank;
        let place = ranks.iter().position(|expected| *expected == rank);
        match place.filter(|_| guest.introduction.purpose == Purpose::Data) {
            Some(place) => {
                let name = name(meeting, rank, &guest.address());
                let stream = guest.welcome(&meeting.secret)?;
                peers[place] = Some(Peer { stream, name });
            }
            None => {
                // Who left needs no reason.
                let _ = guest.refuse(&format!("rank {rank} is not expected here"));
            }
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

/// Calls and introduces this rank, until it is welcome or refused: who closes the connection or says nothing may be
/// about to start.
fn reach(
    addresses: &dyn Fn() -> io::Result<Vec<SocketAddr>>,
    meeting: &Meeting,
    end: Instant,
    introduction: &Introduction,
    failed: &dyn Fn(String) -> RanksError,
) -> Result<Line, RanksError> {
    loop {
        let stream = dial(addresses, meeting, end, failed)?;
        let line = Line::new(stream, PATIENCE, &meeting.stop);
        let introduced = line.map_err(io_error("a peer")).and_then(|mut line| {
            handshake::introduce(&mut line, &meeting.secret, introduction)?;
            Ok(line)
        });
        match introduced {
            Err(error @ (RanksError::Silent { .. } | RanksError::Io { .. })) => {
                if Instant::now() >= end {
                    return Err(failed(error.to_string()));
                }
                thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}
