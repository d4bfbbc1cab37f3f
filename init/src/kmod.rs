//! Which kernel modules are wanted, and which of them may be loaded next.
//! Deciding is here; a worker ([`crate::worker`]) does the loading.

mod aliases;
mod insert;
mod way;

use std::collections::BTreeSet;

use crate::kmods::KmodIndex;
use aliases::Aliases;
pub(crate) use insert::insert;
pub(crate) use way::leads_to_disks;

/// Every kmod of the image, each of which is loaded at most once.
#[derive(Debug)]
pub(crate) struct Kmods {
    index: KmodIndex<'static>,
    aliases: Aliases<'static>,
    states: Vec<State>,
    /// What is wanted and not begun, the most urgent first.
    queue: Vec<u32>,
    queued: u32,
    /// Wanted whether or not the search goes on.
    kept: Vec<u32>,
    blacklist: Vec<String>,
    /// What devices asked for and the image does not have.
    unserved: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// The how manieth it was: what waits never waits for a later one, so
    /// that no circle of softdeps can stop a boot.
    Queued(u32),
    Loaded,
    Failed,
}

impl Kmods {
    pub(crate) fn new(index: KmodIndex<'static>, blacklist: &[String]) -> Self {
        let aliases = Aliases::new(&index.aliases);
        let states = vec![State::Idle; index.kmods.len()];
        Self {
            index,
            aliases,
            states,
            queue: Vec::new(),
            queued: 0,
            kept: Vec::new(),
            blacklist: blacklist.into(),
            unserved: BTreeSet::new(),
        }
    }

    pub(crate) fn release(&self) -> &str {
        self.index.release
    }

    pub(crate) fn name(&self, kmod: u32) -> &'static str {
        self.index.kmods[kmod as usize].name
    }

    pub(crate) fn path(&self, kmod: u32) -> &'static str {
        self.index.kmods[kmod as usize].path
    }

    /// Whether its devices may be asked beside everything else.
    pub(crate) fn may_ask_beside(&self, kmod: u32) -> bool {
        !self.index.aliases.iter().any(|alias| alias.kmod == kmod && way::reads_disks(alias.glob))
    }

    pub(crate) fn unserved(&self) -> impl Iterator<Item = &str> {
        self.unserved.iter().map(String::as_str)
    }

    /// A device's wish; gives the kmods that serve it.
    pub(crate) fn want_modalias(&mut self, modalias: &str) -> Vec<u32> {
        let mut found = self.aliases.find(modalias);
        if found.is_empty() {
            self.unserved.insert(modalias.into());
        }
        let mut foreseen = way::foreseen(modalias).map(|later| self.aliases.find(later)).unwrap_or_default();
        for kmods in [&mut found, &mut foreseen] {
            kmods.retain(|&kmod| !self.blacklist.iter().any(|name| name == self.name(kmod)));
        }
        for &kmod in found.iter().chain(&foreseen) {
            self.want(kmod);
        }
        found
    }

    /// Whether somebody who names it can mean one of the image's or of the kernel's own.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.index.builtin.contains(&name.replace('-', "_").as_str()) || !self.find(name).is_empty()
    }

    /// By its name or by an alias such as `fs-squashfs`. Gives the kmods that
    /// are to be waited for: none when the kernel has it built in, or the
    /// image does not have it, in which case the kernel's own answer follows.
    pub(crate) fn want_name(&mut self, name: &str) -> Vec<u32> {
        if self.index.builtin.contains(&name.replace('-', "_").as_str()) {
            return Vec::new();
        }
        let found = self.find(name);
        for &kmod in &found {
            self.want(kmod);
        }
        found
    }

    fn find(&self, name: &str) -> Vec<u32> {
        let normal = name.replace('-', "_");
        let named = self.index.kmods.iter().position(|kmod| kmod.name == normal);
        let found = named.map_or_else(|| self.aliases.find(name), |kmod| vec![kmod as u32]);
        // depmod writes aliases with either.
        if found.is_empty() { self.aliases.find(&normal) } else { found }
    }

    fn want(&mut self, kmod: u32) {
        if self.states[kmod as usize] != State::Idle {
            return;
        }
        // Marked before what it needs is followed: circles end here.
        self.states[kmod as usize] = State::Queued(u32::MAX);
        for need in self.needs(kmod) {
            self.want(need);
        }
        self.states[kmod as usize] = State::Queued(self.queued);
        self.queued += 1;
        self.queue.push(kmod);
    }

    /// These, and what they need, before everything else.
    pub(crate) fn hurry(&mut self, kmods: &[u32]) {
        let mut urgent = kmods.to_vec();
        let mut at = 0;
        while at < urgent.len() {
            let needs = self.needs(urgent[at]);
            urgent.extend(needs.into_iter().filter(|need| !urgent.contains(need)).collect::<Vec<_>>());
            at += 1;
        }
        // Stable: among the urgent ones what is needed stays in front.
        self.queue.sort_by_key(|kmod| !urgent.contains(kmod));
    }

    /// For [`Self::forget`] not to forget: no device asks for them again.
    pub(crate) fn keep(&mut self, kmods: &[u32]) {
        self.kept.extend(kmods);
    }

    /// What is kept and not done.
    pub(crate) fn kept(&self) -> Vec<u32> {
        self.kept.iter().copied().filter(|&kmod| !self.is_done(kmod)).collect()
    }

    /// What devices asked for, and is not begun, is not wanted until they ask again.
    pub(crate) fn forget(&mut self) {
        for kmod in self.queue.drain(..) {
            self.states[kmod as usize] = State::Idle;
        }
        for kmod in self.kept() {
            self.want(kmod);
        }
    }

    fn needs(&self, kmod: u32) -> Vec<u32> {
        let kmod = &self.index.kmods[kmod as usize];
        kmod.soft.iter().chain(&kmod.deps).copied().collect()
    }

    /// A kmod of which everything before it is there. What needs one that
    /// failed fails with it, in silence: the first failure was told.
    pub(crate) fn next(&mut self) -> Option<u32> {
        let mut at = 0;
        while at < self.queue.len() {
            let kmod = self.queue[at];
            let State::Queued(mine) = self.states[kmod as usize] else {
                unreachable!("only queued ones are in the queue")
            };
            let waits = self
                .needs(kmod)
                .iter()
                .any(|&need| matches!(self.states[need as usize], State::Queued(theirs) if theirs < mine));
            let failed = |need: &u32| self.states[*need as usize] == State::Failed;
            if waits {
                at += 1;
            } else if self.index.kmods[kmod as usize].deps.iter().any(failed) {
                self.queue.remove(at);
                self.states[kmod as usize] = State::Failed;
                at = 0;
            } else {
                self.queue.remove(at);
                return Some(kmod);
            }
        }
        None
    }

    pub(crate) fn done(&mut self, kmod: u32, loaded: bool) {
        self.states[kmod as usize] = if loaded { State::Loaded } else { State::Failed };
        if loaded {
            let later: Vec<u32> =
                self.index.afters.iter().filter(|after| after.kmod == kmod).map(|after| after.later).collect();
            self.keep(&later);
            for later in later {
                self.want(later);
            }
        }
    }

    pub(crate) fn is_done(&self, kmod: u32) -> bool {
        matches!(self.states[kmod as usize], State::Loaded | State::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "liveroot-kmods 1.0 6.1.0\n\
        kmod core a.ko - -\n\
        kmod mid b.ko 0 -\n\
        kmod top c.ko 0,1 4\n\
        kmod other d.ko - 4\n\
        kmod loop_a e.ko - 3\n\
        kmod late f.ko 1 -\n\
        after 1 5\n\
        alias 2 pci:v00001AF4d*\n\
        alias 4 pci:v00001AF4d00001001*\n\
        alias 1 fs-mid\n\
        alias 3 scsi:t-0x00*\n\
        builtin ext4\n";

    fn kmods(blacklist: &[&str]) -> Kmods {
        let blacklist: Vec<String> = blacklist.iter().map(|&name| name.into()).collect();
        Kmods::new(KmodIndex::parse(INDEX).unwrap(), &blacklist)
    }

    /// Everything that is ready is begun before anything is done, as many workers would.
    fn rounds(kmods: &mut Kmods, fails: &[&str]) -> Vec<Vec<&'static str>> {
        let mut rounds = Vec::new();
        while !kmods.queue.is_empty() {
            let ready: Vec<u32> = std::iter::from_fn(|| kmods.next()).collect();
            assert!(!ready.is_empty() || kmods.queue.is_empty(), "stuck");
            for &kmod in &ready {
                kmods.done(kmod, !fails.contains(&kmods.name(kmod)));
            }
            rounds.push(ready.iter().map(|&kmod| kmods.name(kmod)).collect());
        }
        rounds
    }

    #[test]
    fn dependencies_and_softdeps_come_first_and_circles_end() {
        let mut kmods = kmods(&[]);
        kmods.want_modalias("pci:v00001AF4d00001000sv");
        assert_eq!(rounds(&mut kmods, &[]), [vec!["other", "core"], vec!["loop_a", "mid"], vec!["top", "late"]]);
        kmods.want_modalias("pci:v00001AF4d00001000sv");
        assert!(kmods.queue.is_empty(), "each is loaded once");
    }

    #[test]
    fn a_failed_dependency_fails_what_needs_it_and_a_failed_softdep_does_not() {
        let mut kmods = kmods(&[]);
        kmods.want_modalias("pci:v00001AF4d00001000sv");
        let loaded = rounds(&mut kmods, &["mid"]).concat();
        assert!(!loaded.contains(&"top") && !loaded.contains(&"late"), "{loaded:?}");
        let mut kmods = self::kmods(&[]);
        kmods.want_modalias("pci:v00001AF4d00001000sv");
        assert!(rounds(&mut kmods, &["loop_a"]).concat().contains(&"top"));
    }

    #[test]
    fn what_is_urgent_goes_first_with_what_it_needs_and_the_rest_can_be_forgotten() {
        let mut kmods = kmods(&[]);
        kmods.want_name("loop_a");
        let urgent = kmods.want_name("mid");
        kmods.hurry(&urgent);
        assert_eq!(kmods.next().map(|kmod| kmods.name(kmod)), Some("core"));
        kmods.forget();
        assert_eq!(kmods.next(), None);
        kmods.done(0, true);
        kmods.want_name("mid");
        assert_eq!(rounds(&mut kmods, &[]).concat(), ["mid", "late"]);
    }

    #[test]
    fn what_no_device_asks_for_is_not_forgotten_with_the_rest() {
        let mut kmods = kmods(&[]);
        kmods.want_modalias("scsi:t-0x00");
        let named = kmods.want_name("mid");
        kmods.keep(&named);
        kmods.forget();
        assert_eq!(kmods.next().map(|kmod| kmods.name(kmod)), Some("core"));
        kmods.done(0, true);
        assert_eq!(kmods.next().map(|kmod| kmods.name(kmod)), Some("mid"));
        kmods.done(1, true);
        kmods.forget();
        assert_eq!(kmods.kept(), [5], "what mid wants behind it");
        assert_eq!(rounds(&mut kmods, &[]).concat(), ["late"]);
        assert_eq!(kmods.kept(), []);
    }

    #[test]
    fn a_blacklisted_one_is_not_what_a_device_gets() {
        let mut kmods = kmods(&["top"]);
        kmods.want_modalias("pci:v00001AF4d00001001sv");
        assert_eq!(rounds(&mut kmods, &[]).concat(), ["other", "loop_a"]);
        let mut kmods = self::kmods(&["other"]);
        kmods.want_modalias("usb:v0951p1666d0110dc00dsc00dp00ic08isc06ip50in00");
        assert_eq!(rounds(&mut kmods, &[]).concat(), [""; 0], "not what a stick foretells either");
    }

    #[test]
    fn names_and_aliases_are_found_and_builtins_need_nothing() {
        let mut kmods = kmods(&[]);
        assert_eq!(kmods.want_name("fs-mid"), [1]);
        assert_eq!(kmods.want_name("loop-a"), [4]);
        assert_eq!(kmods.want_name("ext4"), []);
        assert_eq!(kmods.want_name("nothing"), []);
        for (name, has) in [("loop-a", true), ("fs-mid", true), ("ext4", true), ("nothing", false)] {
            assert_eq!(kmods.has(name), has, "{name}");
        }
        assert_eq!(rounds(&mut kmods, &[]).concat(), ["core", "other", "mid", "loop_a", "late"]);
    }

    #[test]
    fn what_nothing_serves_is_remembered() {
        let mut kmods = kmods(&[]);
        kmods.want_modalias("usb:v1234");
        assert_eq!(kmods.unserved().collect::<Vec<_>>(), ["usb:v1234"]);
    }
}
