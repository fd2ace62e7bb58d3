//! How much memory may still be taken: by the machine, and by the container or service that this process is in.

use std::fs;
use std::path::Path;

/// Bytes; none where nobody tells.
pub fn available() -> Option<u64> {
    available_by(Path::new("/"))
}

fn available_by(root: &Path) -> Option<u64> {
    let of_machine = of_machine(&root.join("proc/meminfo"));
    let groups = root.join("sys/fs/cgroup");
    // Version 2 of control groups, then 1; https://docs.kernel.org/admin-guide/cgroup-v2.html.
    let of_group =
        of_group(&groups, "memory.max", "memory.current", "inactive_file ").or_else(|| {
            let groups = groups.join("memory");
            of_group(
                &groups,
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file ",
            )
        });
    of_machine.into_iter().chain(of_group).min()
}

fn of_machine(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let kib = field(&text, "MemAvailable:")?;
    Some(kib * 1024)
}

/// What files were read from is given back before anything ends.
fn of_group(folder: &Path, limit: &str, used: &str, cached: &str) -> Option<u64> {
    let number = |name: &str| {
        fs::read_to_string(folder.join(name))
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let (limit, used) = (number(limit)?, number(used)?);
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cached = field(&stat, cached).unwrap_or_default();
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

/// The number after a name at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_machine_and_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        assert_eq!(available_by(root.path()), None);
        write(
            "proc/meminfo",
            "MemTotal: 9000 kB\nMemAvailable:    2000 kB\n",
        );
        assert_eq!(available_by(root.path()), Some(2_048_000));
        // No limit.
        write("sys/fs/cgroup/memory.max", "max\n");
        write("sys/fs/cgroup/memory.current", "900000\n");
        write(
            "sys/fs/cgroup/memory.stat",
            "anon 1\ninactive_file 100000\n",
        );
        assert_eq!(available_by(root.path()), Some(2_048_000));
        write("sys/fs/cgroup/memory.max", "1000000\n");
        assert_eq!(available_by(root.path()), Some(200_000));
        fs::remove_file(root.path().join("sys/fs/cgroup/memory.max")).unwrap();
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "700000\n");
        write("sys/fs/cgroup/memory/memory.usage_in_bytes", "600000\n");
        assert_eq!(available_by(root.path()), Some(100_000));
    }
}
