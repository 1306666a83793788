//! The processors that this process may use, and how they are shared out among jobs that run at one time.

/// The numbers of the processors that this process may use, ascending.
#[must_use]
pub fn processors() -> Vec<usize> {
    #[cfg(target_os = "linux")]
    if let Ok(set) = rustix::thread::sched_getaffinity(None) {
        return (0..rustix::thread::CpuSet::MAX_CPU)
            .filter(|&processor| set.is_set(processor))
            .collect();
    }
    (0..std::thread::available_parallelism().map_or(1, usize::from)).collect()
}

/// `parts` disjoint sets of the same size, as large as they can be; those of one core stay together. `None` where there are fewer
/// processors than parts.
#[must_use]
pub fn share_out(processors: &[usize], parts: usize) -> Option<Vec<Vec<usize>>> {
    share_out_by(processors, parts, core_of)
}

fn share_out_by(
    processors: &[usize],
    parts: usize,
    core_of: impl Fn(usize) -> usize,
) -> Option<Vec<Vec<usize>>> {
    let mut ordered = processors.to_vec();
    ordered.sort_by_key(|&processor| (core_of(processor), processor));
    ordered.dedup();
    let each = ordered.len().checked_div(parts).filter(|each| *each > 0)?;
    Some(
        ordered
            .chunks_exact(each)
            .take(parts)
            .map(<[usize]>::to_vec)
            .collect(),
    )
}

/// The lowest number of the processors that share a core with this one; its own where the system doesn't say.
fn core_of(processor: usize) -> usize {
    let path = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
    std::fs::read_to_string(path)
        .ok()
        .and_then(|list| list.split([',', '-', '\n']).next()?.parse().ok())
        .unwrap_or(processor)
}

#[cfg(test)]
mod tests {
    use super::{processors, share_out, share_out_by};

    #[test]
    fn parts_are_disjoint_and_cores_stay_whole() {
        // Processors 0 to 7 on four cores: 0 and 4 are one core.
        let shared = share_out_by(&[0, 1, 2, 3, 4, 5, 6, 7], 2, |p| p % 4).unwrap();
        assert_eq!(shared, [vec![0, 4, 1, 5], vec![2, 6, 3, 7]]);
        assert_eq!(
            share_out_by(&[3, 1, 2], 2, |p| p),
            Some(vec![vec![1], vec![2]])
        );
        assert_eq!(share_out_by(&[5, 5], 2, |p| p), None);
        assert_eq!(share_out(&[0], 2), None);
        assert_eq!(share_out(&[0], 0), None);
    }

    #[test]
    fn this_process_has_a_processor() {
        assert!(!processors().is_empty());
    }
}
