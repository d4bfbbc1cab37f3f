//! The order kmods load in, as kmod's depmod decides it: one topological order
//! over all of them, in which every dependency list is then sorted. Equal
//! lists matter because modules.dep is what people compare with.

/// Numbers of kmods that need each other in a ring, so that none can be first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cycle(pub Vec<usize>);

/// From each kmod's direct dependencies to all it needs, in loading order.
///
/// Kmods are numbered as modules.order has them, which breaks ties: depmod
/// takes users before what they use, the last one that became free first, and
/// loads from the end of that list.
pub(super) fn resolve(direct: &[Vec<usize>]) -> Result<Vec<Vec<usize>>, Cycle> {
    let rank = rank(direct)?;
    let mut seen = vec![usize::MAX; direct.len()];
    let all_of = |kmod: usize| {
        let mut all = Vec::new();
        let mut open = vec![kmod];
        seen[kmod] = kmod;
        while let Some(user) = open.pop() {
            for &dep in &direct[user] {
                if seen[dep] != kmod {
                    seen[dep] = kmod;
                    all.push(dep);
                    open.push(dep);
                }
            }
        }
        all.sort_by_key(|&dep| std::cmp::Reverse(rank[dep]));
        all
    };
    Ok((0..direct.len()).map(all_of).collect())
}

/// Kahn's algorithm with a stack: each kmod's place, users first.
fn rank(direct: &[Vec<usize>]) -> Result<Vec<usize>, Cycle> {
    let mut users = vec![0_usize; direct.len()];
    for &dep in direct.iter().flatten() {
        users[dep] += 1;
    }
    let mut free: Vec<usize> = (0..direct.len()).filter(|&kmod| users[kmod] == 0).collect();
    let mut rank = vec![usize::MAX; direct.len()];
    let mut next = 0;
    while let Some(kmod) = free.pop() {
        rank[kmod] = next;
        next += 1;
        for &dep in &direct[kmod] {
            users[dep] -= 1;
            if users[dep] == 0 {
                free.push(dep);
            }
        }
    }
    if next == direct.len() { Ok(rank) } else { Err(find_cycle(direct, &rank)) }
}

/// Every kmod without a rank has a user without one; following users must
/// come round.
fn find_cycle(direct: &[Vec<usize>], rank: &[usize]) -> Cycle {
    let stuck = |kmod: &usize| rank[*kmod] == usize::MAX;
    let user_of = |dep: usize| (0..direct.len()).filter(stuck).find(|&user| direct[user].contains(&dep));
    let mut path: Vec<usize> = (0..direct.len()).find(stuck).into_iter().collect();
    while let Some(user) = path.last().and_then(|&last| user_of(last)) {
        if let Some(start) = path.iter().position(|&kmod| kmod == user) {
            path.drain(..start);
            break;
        }
        path.push(user);
    }
    path.reverse();
    Cycle(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_before_their_users() {
        // sd_mod 0 -> scsi_mod 1, scsi_common 2; scsi_mod -> scsi_common; loop 3
        let direct = [vec![1, 2], vec![2], vec![], vec![]];
        assert_eq!(resolve(&direct).unwrap(), [vec![2, 1], vec![2], vec![], vec![]]);
    }

    #[test]
    fn the_whole_set_decides_ties_as_depmod_does() {
        // 2 and 3 become free together, the last one named is ranked first and loaded last.
        assert_eq!(resolve(&[vec![2, 3], vec![3], vec![], vec![]]).unwrap()[0], [2, 3]);
        assert_eq!(resolve(&[vec![3, 2], vec![3], vec![], vec![]]).unwrap()[0], [3, 2]);
        // Here 1 frees 3 before 0 frees 2.
        assert_eq!(resolve(&[vec![2], vec![3], vec![3], vec![]]).unwrap()[0], [3, 2]);
    }

    #[test]
    fn a_cycle_is_told_with_its_members_only() {
        let direct = [vec![1], vec![2], vec![3], vec![1], vec![]];
        let Cycle(mut members) = resolve(&direct).unwrap_err();
        members.sort_unstable();
        assert_eq!(members, [1, 2, 3]);
        assert_eq!(resolve(&[vec![0]]), Err(Cycle(vec![0])));
    }
}
