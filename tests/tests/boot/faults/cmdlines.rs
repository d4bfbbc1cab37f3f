//! Command lines that ask for what cannot be, and policies.

use anyhow::{Result, ensure};
use harness::vm::Bus;

use super::{Ends, Run, Scene, row, rows, stopped};
use crate::{BOOT, SOON};

rows! {
    an_init_that_is_not_there_is_named: Always, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]), "init=/none" => In("E_NO_INIT", &["init=/none", "not there"]);
    an_init_that_is_no_program_is_named: Whole, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]), "init=/big" => In("E_NO_INIT", &["init=/big", "not an executable"]);
    another_mode_than_the_medium_s_is_refused: Whole, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]), "live.mode=ram" => In("E_MODE", &["overlay mode"]);
    a_wrong_label_ends_at_the_deadline: Whole, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]), "live.medium=LABEL=NOPE" => In("E_NO_MEDIUM", &["LABEL=NOPE", "5 s"]);
    no_device_at_all_ends_at_the_deadline: Always, "tiny", |_| Ok(vec![]), "" => In("E_NO_MEDIUM", &["among 0 devices"]);
    a_directory_outside_of_the_medium_is_refused: Whole, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]), "live.dir=../../etc" => Booting(&["live.dir: `../../etc` is not of the form"]);
    quotes_and_blanks_and_equals_signs_do_no_harm: Always, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]),
        r#"=== live.= live.medium= "live. =" live.break=,,, live.log=loud % $(reboot) ;poweroff live.overlay.size=-1 live.emergency=reboot:99999999999 live.dir="a"# => Booting(&["unknown parameter"]);
    a_line_as_long_as_the_kernel_takes_does_no_harm: Whole, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]),
        "live.blacklist=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        => Booting(&[]);
    a_file_that_no_device_has_is_named: Whole, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]), "live.medium=FILE=/none/such" => In("E_MOUNT", &["it has no /none/such"]);
    a_policy_of_poweroff_powers_off: Always, "tiny", |_| Ok(vec![]), "live.emergency=poweroff:1" => In("E_NO_MEDIUM", &[]);
    a_policy_of_halt_halts: Whole, "tiny", |_| Ok(vec![]), "live.emergency=halt" => In("E_NO_MEDIUM", &[]);
}

#[test]
fn a_machine_that_may_have_no_shell_gives_none() -> Result<()> {
    let Some(scene) = Scene::of("tiny", Run::Always)? else { return Ok(()) };
    let mut guest = scene.start(vec![], "live.timeout=5 live.shell=never live.emergency=shell", 512)?;
    guest.wait("the prompt", BOOT, |text| text.contains("liveroot> ").then_some(()))?;
    guest.type_line("sh")?;
    guest.wait("the refusal", SOON, |text| text.contains("no shell: the command line forbids it").then_some(()))?;
    guest.type_line("poweroff")?;
    let (_, policy) = stopped(&guest, "E_NO_MEDIUM", &[])?;
    ensure!(policy == "poweroff", "{policy}");
    Ok(())
}

/// The twin of all rows: nothing is wrong.
#[test]
fn a_medium_that_is_well_boots() -> Result<()> {
    row("a_medium_that_is_well_boots", Run::Always, "tiny", |s| Ok(vec![s.whole(Bus::Virtio)]), "", Ends::Booting(&[]))
}
