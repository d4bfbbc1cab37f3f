//! The boot, from the kernel's first process to the distribution's: each
//! state takes what the one before it made.

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use nix::sys::utsname::uname;

use crate::check;
use crate::cmdline::{Check, Cmdline, Persist, Shell};
use crate::contract::{Mode, initramfs, params};
use crate::devices::{Devices, watch_media};
use crate::eject::eject;
use crate::facts::ImageFacts;
use crate::fault::{Code, Fault};
use crate::handover;
use crate::kmod::Kmods;
use crate::kmods::KmodIndex;
use crate::log::{self, debug, error, info, warn};
use crate::manifest::Part;
use crate::medium::{self, Medium};
use crate::overlay::{self, NewRoot};
use crate::persist::Kept;
use crate::plan::{self, RootPlan};
use crate::rescue::{self, Answer, Policy};
use crate::save::{self, Saves};
use crate::status::{State, Status};
use crate::{configure, early, hooks, modprobe, persist, preflight, ram, shutdown, toram, unpacked, watch};

/// PID 1. Nothing in here ends but by becoming another program.
pub fn run() -> ! {
    rescue::catch_panics();
    crate::sys::ignore_children();
    let mut boot = Boot::start();
    loop {
        match boot.attempt() {
            Ok(never) => match never {},
            Err(stop) => boot.rescue(&stop),
        }
    }
}

/// What does not change from one attempt to the next.
struct Boot {
    status: Status,
    cmdline: Cmdline,
    facts: Option<ImageFacts>,
    devices: Devices,
    /// They may have left processes.
    hooks_ran: bool,
}

/// The root that is there to be handed over to.
enum Root {
    /// The one that /init runs on: its packages are unpacked, its medium is gone.
    Here,
    /// What it stands on may be the medium.
    New(NewRoot, Option<Box<Medium>>),
}

impl Boot {
    fn start() -> Self {
        let mut status = Status::new();

        status.begin(State::Early);
        // Before anything is mounted over what the kernel unpacked.
        let unpacked = unpacked::check();
        let faults = early::prepare();
        log::open_kernel();
        log::open_file();
        for fault in faults {
            status.degrade(fault.to_string());
        }
        status.end();

        status.begin(State::Cmdline);
        let facts = read_facts(&mut status);
        let baked = facts.as_ref().map_or("", |facts| facts.params.as_str());
        let kernel = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let (cmdline, notes) = Cmdline::parse(&[baked, &kernel]);
        rescue::set_policy(Policy { emergency: cmdline.emergency, shell: cmdline.shell });
        status.end();

        status.begin(State::Console);
        log::open_consoles(cmdline.log);
        for note in notes {
            status.degrade(note);
        }
        status.end();
        if let Err(fault) = unpacked {
            error!("{fault}");
            status.fail(&fault);
            status.save();
            rescue::refuse(&fault, State::Early.name());
        }

        status.begin(State::Devices);
        let modprobe = modprobe::load(Path::new(initramfs::MODPROBE), &mut status);
        let kmods = Kmods::new(read_index(&mut status), &[modprobe.blacklist, cmdline.blacklist.clone()].concat());
        for name in cmdline.modules.iter().filter(|name| !kmods.has(name)) {
            status.degrade(format!("{}: there is no kmod {name} in this image", params::MODULES));
        }
        // The last one of a name counts, and that is the command line's.
        let mut devices = Devices::open(kmods, [modprobe.options, cmdline.options.clone()].concat());
        if let Err(e) = watch_media() {
            debug!("an optical disc that is put in later may stay unseen: {e}");
        }
        let named: Vec<&str> = cmdline.modules.iter().map(String::as_str).collect();
        devices.want(&named);
        devices.search();
        if facts.as_ref().is_some_and(|facts| facts.mode == Mode::Overlay) {
            // They can load while the devices answer.
            devices.want(initramfs::ROOT_KMODS);
        }
        let hooks_ran = hooks::run(State::Devices, None, &mut status);
        status.end();

        Self { status, cmdline, facts, devices, hooks_ran }
    }

    /// One way through the states; what it made is undone when it stops.
    fn attempt(&mut self) -> Result<Infallible, Fault> {
        if self.cmdline.shell == Shell::Now {
            self.cmdline.shell = Shell::OnFail;
            return Err(Fault::new(Code::Break, "a shell was asked for before the medium is looked for"));
        }
        self.enter(State::Medium)?;
        let medium = medium::find(&mut self.devices, &self.cmdline, self.facts.as_ref())?;
        self.status.note("name", medium.manifest.name.clone());
        self.status.note("boot_id", medium.manifest.boot_id.to_string());
        self.status.note("mode", medium.manifest.mode.to_string());
        let set = self.find_set(&medium)?;
        self.leave(None);

        self.enter(State::Check)?;
        let known: Vec<&Part> = [&medium].into_iter().chain(&set).flat_map(|medium| &medium.manifest.parts).collect();
        for note in plan::unknown(&known, &self.cmdline.layers) {
            self.status.degrade(note);
        }
        let parts = self.usable_parts(&medium)?;
        let set = match set {
            Some(set) => Some((self.usable_parts(&set)?, set)),
            None => None,
        };
        let plan = RootPlan::new(medium.manifest.mode, self.cmdline.mode, parts, &self.cmdline.verity)?;
        self.leave(None);

        let medium = if let RootPlan::Overlay { layers } = &plan {
            self.enter(State::ToRam)?;
            let medium = toram::copy(medium, layers, &self.cmdline, &mut self.status)?;
            self.leave(None);
            medium
        } else {
            medium
        };

        let kept = match &plan {
            RootPlan::Overlay { layers } if self.cmdline.persist != Persist::Off => {
                self.enter(State::Persist)?;
                let kept = persist::open(&medium, layers, &self.cmdline, &mut self.devices, &mut self.status)?;
                self.leave(None);
                kept
            }
            _ => None,
        };

        let saves = match &plan {
            RootPlan::Ram { .. } if self.cmdline.save.asked => {
                self.enter(State::Persist)?;
                let saves = save::open(&medium, &self.cmdline, &mut self.devices, &mut self.status);
                self.leave(None);
                saves
            }
            _ => None,
        };

        self.enter(State::Root)?;
        if matches!(plan, RootPlan::Overlay { .. }) && self.cmdline.save.asked {
            self.status.degrade(format!("{} has no effect in overlay mode", params::SAVE));
        }
        if matches!(plan, RootPlan::Ram { .. }) && self.cmdline.persist != Persist::Off {
            self.status.degrade(format!("{} has no effect in ram mode", params::PERSIST));
        }
        let root = self.make_root(medium, set, &plan, kept, saves)?;
        self.leave(Some(root.path()));

        self.enter(State::Configure)?;
        configure::identity(root.path(), &self.cmdline.identity, &mut self.status);
        self.leave(Some(root.path()));

        self.enter(State::Preflight)?;
        let inits = preflight::inits(root.path(), self.cmdline.init.as_deref())?;
        preflight::make_mount_points(root.path());
        self.devices.load_kept();
        self.leave(Some(root.path()));

        self.enter(State::Handover)?;
        Err(self.hand_over(root, &inits))
    }

    /// The second medium, where the command line names one.
    fn find_set(&mut self, medium: &Medium) -> Result<Option<Medium>, Fault> {
        let Some(named) = &self.cmdline.packages else { return Ok(None) };
        if medium.manifest.mode == Mode::Overlay {
            self.status.degrade(format!("{} has no effect in overlay mode", params::PACKAGES));
            return Ok(None);
        }
        let set = medium::find_set(&mut self.devices, named, self.cmdline.timeout)?;
        if set.manifest.mode == Mode::Overlay {
            let fault = Fault::new(Code::Mode, "its parts are layers for overlay mode, and no packages");
            return Err(set.told(fault.advise("name a medium that was built in ram mode")));
        }
        Ok(Some(set))
    }

    fn usable_parts(&mut self, medium: &Medium) -> Result<Vec<Part>, Fault> {
        let chosen = plan::select(&medium.manifest.parts, &self.cmdline.layers);
        check::usable_parts(medium, &chosen, self.cmdline.check, &mut self.status)
    }

    fn make_root(
        &mut self,
        medium: Medium,
        set: Option<(Vec<Part>, Medium)>,
        plan: &RootPlan,
        kept: Option<Kept>,
        saves: Option<Saves>,
    ) -> Result<Root, Fault> {
        match plan {
            RootPlan::Ram { packages } => {
                let new_root = ram::new_root(&self.cmdline)?;
                let root = new_root.map_or(Root::Here, |new_root| Root::New(new_root, None));
                let mut parts: Vec<_> = packages.iter().map(|part| (&medium, part)).collect();
                if let Some((more, set)) = &set {
                    parts.extend(more.iter().map(|part| (set, part)));
                }
                let packages = ram::look_at(&parts, &mut self.devices);
                ram::extract(&packages, root.path(), &self.cmdline, &mut self.status)?;
                drop(packages);
                if let Some(saves) = saves {
                    saves.restore(root.path(), &self.cmdline, &mut self.status);
                }
                if let Some((_, set)) = set {
                    let device = set.device.clone();
                    if let Err(why) = set.release() {
                        self.status.degrade(format!("/dev/{device} is still in use: {why}"));
                    }
                }
                let device = medium.device.clone();
                match medium.release() {
                    Ok(()) => {
                        info!("everything is in memory: the medium may be removed");
                        if self.cmdline.eject {
                            eject(&device);
                        }
                    }
                    Err(why) => self.status.degrade(format!("the medium is still in use: {why}")),
                }
                Ok(root)
            }
            RootPlan::Overlay { layers } => {
                let asked = self.cmdline.eject && !medium.is_in_memory();
                // Before the root: some systems unmount what came after it.
                if let Err(why) = shutdown::prepare(asked.then_some(medium.device.as_str())) {
                    self.status.degrade(format!("{why}; the medium stays mounted to the end"));
                }
                let new_root =
                    overlay::assemble(&medium, layers, kept, &self.cmdline, &mut self.devices, &mut self.status)?;
                Ok(Root::New(new_root, Some(Box::new(medium))))
            }
        }
    }

    /// Returns only with what stopped it.
    fn hand_over(&mut self, root: Root, inits: &[String]) -> Fault {
        if self.hooks_ran || rescue::shell_was_started() {
            handover::end_leftovers();
        }
        if let Root::New(new_root, medium) = root {
            let disk = medium.as_ref().filter(|medium| !medium.is_in_memory());
            if let Some(disk) = disk.and_then(|medium| self.devices.whole_of(&medium.device)) {
                watch::start(disk, self.cmdline.emergency);
            }
            let old_root = match handover::switch_root(Path::new(overlay::SYSROOT)) {
                Ok(old_root) => old_root,
                Err(fault) => return fault,
            };
            new_root.keep();
            if let Some(medium) = medium {
                medium.keep();
            }
            handover::wipe(&old_root);
        }
        // Not before: until the root is switched, a retry still needs them.
        self.devices.stop();
        info!("handing over to {}", inits[0]);
        self.status.end();
        self.status.save();
        handover::execute(inits, self.cmdline.shell != Shell::Never && rescue::is_open())
    }

    /// The stop before a state that somebody asked for, once.
    fn enter(&mut self, state: State) -> Result<(), Fault> {
        if let Some(at) = self.cmdline.breaks.iter().position(|&stop| stop == state) {
            self.cmdline.breaks.remove(at);
            return Err(Fault::new(Code::Break, format!("before the state {}, as asked", state.name())));
        }
        self.status.begin(state);
        Ok(())
    }

    /// `root` is the new one, where there is one already.
    fn leave(&mut self, root: Option<&Path>) {
        if let Some(state) = self.status.state() {
            self.hooks_ran |= hooks::run(state, root, &mut self.status);
        }
        self.status.end();
    }

    fn rescue(&mut self, fault: &Fault) {
        let state = self.status.state().map_or("break", State::name);
        if fault.code == Code::Break {
            info!("{fault}");
        } else {
            error!("{fault}");
        }
        self.status.fail(fault);
        self.status.save();
        let report = medium::report(&self.devices, self.facts.as_ref());
        self.devices.search();
        let answer = rescue::ask(fault, state, Some(&mut self.devices), &report);
        self.devices.probe_all();
        let failed_check = match fault.code {
            Code::Digest | Code::Truncated => true,
            // Elsewhere what cannot be read is needed.
            Code::Read => state == State::Check.name(),
            _ => false,
        };
        if answer == Answer::Continue && failed_check {
            warn!("going on with a medium that failed its check, as answered");
            self.cmdline.check = Check::Off;
        }
        self.status.forgive();
    }
}

impl Root {
    fn path(&self) -> &Path {
        match self {
            Self::Here => Path::new("/"),
            Self::New(..) => Path::new(overlay::SYSROOT),
        }
    }
}

fn read_facts(status: &mut Status) -> Option<ImageFacts> {
    let text = fs::read_to_string(initramfs::FACTS).map_err(|e| e.to_string());
    match text.and_then(|text| ImageFacts::parse(&text).map_err(|e| e.to_string())) {
        Ok(facts) => Some(facts),
        Err(why) => {
            status.degrade(format!("{}: {why}", initramfs::FACTS));
            None
        }
    }
}

/// It lives as long as PID 1: what borrows from it need not be counted.
fn read_index(status: &mut Status) -> KmodIndex<'static> {
    let text = match fs::read_to_string(initramfs::KMODS) {
        Ok(text) => text.leak(),
        Err(e) => {
            status.degrade(format!("{}: {e}; only what is in the kernel itself will work", initramfs::KMODS));
            return KmodIndex::default();
        }
    };
    match KmodIndex::parse(text) {
        Ok(index) => {
            let running = uname().map(|uname| uname.release().to_string_lossy().into_owned()).unwrap_or_default();
            if index.release != running {
                status.degrade(format!(
                    "this kernel is {running} and the image's kmods are of {}: build the image with this kernel",
                    index.release
                ));
            }
            index
        }
        Err(e) => {
            status.degrade(format!("{}: {e}", initramfs::KMODS));
            KmodIndex::default()
        }
    }
}
