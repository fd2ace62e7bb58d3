//! What the active servers of a user take together, counted where a start is written down.

use super::Result;
use super::unit::Unit;

/// What the servers of one user may take together; 0 for any amount.
#[derive(Debug, Clone, Default)]
pub struct Limit {
    /// What the quota is called.
    pub name: String,
    pub servers: i64,
    /// Bytes.
    pub memory: i64,
    /// Thousandths of a core.
    pub cpu: i64,
}

/// Of what there would be too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Servers,
    Memory,
    Cpu,
}

/// The first limit that the active servers of a user exceed, and in what.
pub(super) async fn exceeded(
    tx: &mut Unit,
    user_id: i64,
    limits: &[Limit],
) -> Result<Option<(Limit, Over)>> {
    if limits.is_empty() {
        return Ok(None);
    }
    let taken: Vec<(i64, i64)> =
        sqlx::query_as("SELECT memory, cpu FROM servers WHERE user_id = $1 AND state <> 'stopped'")
            .bind(user_id)
            .fetch_all(&mut **tx)
            .await?;
    let servers = i64::try_from(taken.len()).unwrap_or(i64::MAX);
    let memory = taken.iter().map(|(memory, _)| memory).sum();
    let cpu = taken.iter().map(|(_, cpu)| cpu).sum();
    let is_over = |limit: i64, taken: i64| limit > 0 && taken > limit;
    Ok(limits.iter().find_map(|limit| {
        let over = if is_over(limit.servers, servers) {
            Over::Servers
        } else if is_over(limit.memory, memory) {
            Over::Memory
        } else if is_over(limit.cpu, cpu) {
            Over::Cpu
        } else {
            return None;
        };
        Some((limit.clone(), over))
    }))
}
